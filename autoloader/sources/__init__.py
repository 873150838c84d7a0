"""Storage: list it, pin and fetch files, look at one, put and delete data files. All of boto3 and obstore is here.

Local folders are walked by our own `os.scandir`; S3 is listed page by page through boto3's session and
our own reading of the pages; Google Cloud Storage and Azure are listed by obstore. Bytes go through
obstore. Credentials are never passed around: each process finds them by the provider's own chain.
"""

from autoloader.sources.address import Address, canonical, canonical_file, split
from autoloader.sources.files import delete, exists, get, head, head_many, put
from autoloader.sources.listing import Source
from autoloader.sources.outcome import Found, Problem
from autoloader.sources.pinning import pinned
from autoloader.sources.stores import StorageConfig

__all__ = [
    "Address",
    "Found",
    "Problem",
    "Source",
    "StorageConfig",
    "canonical",
    "canonical_file",
    "delete",
    "exists",
    "get",
    "head",
    "head_many",
    "pinned",
    "put",
    "split",
]
