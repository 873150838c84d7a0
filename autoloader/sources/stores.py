"""How to reach a storage: boto3 sessions and clients, obstore stores; made once per process.

Only names travel (`StorageConfig`); credentials are found where they are used, by boto3's chain
(environment, profiles, SSO, roles) or by the environment variables of the other clouds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from autoloader.sources.address import Address

if TYPE_CHECKING:
    from obstore.store import ObjectStore

RETRY_TIMEOUT: Final = timedelta(minutes=3)
MAX_RETRIES: Final = 6
MAX_CONNECTIONS: Final = 32


class Reach(Protocol):
    """What both `StorageConfig` and the settings' `StorageSettings` say."""

    @property
    def endpoint(self) -> str | None:
        """URL of a service other than the provider's own."""

    @property
    def region(self) -> str | None:
        """Region of the bucket."""

    @property
    def profile(self) -> str | None:
        """Profile of the AWS configuration."""

    @property
    def anonymous(self) -> bool:
        """Whether requests go unsigned."""


Here = tuple[int, tuple[tuple[str, str], ...]]

Storage = Mapping[str, Reach]
"""By scheme: `s3`, `gs`, `az`."""


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """How to reach one scheme; picklable, without credentials."""

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    anonymous: bool = False


def config_for(scheme: str, storage: Storage) -> StorageConfig:
    """The configuration of a scheme; all defaults where the settings say nothing."""
    reach = storage.get(scheme)
    if reach is None:
        return StorageConfig()
    return StorageConfig(reach.endpoint, reach.region, reach.profile, reach.anonymous)


def s3_client(config: StorageConfig) -> Any:
    """The boto3 client of this process; safe to share between threads."""
    return _s3_client(config, _here())


def store_for(address: Address, storage: Storage) -> ObjectStore:
    """The obstore store of a bucket, of this process."""
    return _store(address.scheme, address.bucket, config_for(address.scheme, storage), _here())


def _here() -> Here:
    """This process, and what the providers' chains read in it."""
    names = ("AWS_", "GOOGLE_", "AZURE_")
    variables = sorted((name, value) for name, value in os.environ.items() if name.startswith(names))
    return os.getpid(), tuple(variables)


@lru_cache(maxsize=16)
def _session(config: StorageConfig, here: Here) -> Any:  # noqa: ARG001 - part of the cache's key
    import boto3

    return boto3.Session(profile_name=config.profile, region_name=config.region)


@lru_cache(maxsize=16)
def _s3_client(config: StorageConfig, here: Here) -> Any:
    from botocore import UNSIGNED
    from botocore.config import Config

    session = _session(config, here)
    settings = Config(
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=MAX_CONNECTIONS,
        signature_version=UNSIGNED if config.anonymous else "s3v4",
    )
    return session.client(
        "s3",
        endpoint_url=config.endpoint,
        region_name=config.region or session.region_name or "us-east-1",
        config=settings,
    )


@lru_cache(maxsize=64)
def _store(scheme: str, bucket: str, config: StorageConfig, here: Here) -> ObjectStore:
    from obstore import store

    match scheme:
        case "s3":
            return _s3_store(bucket, config, here)
        case "gs":
            options: dict[str, Any] = {"skip_signature": True} if config.anonymous else {}
            if config.endpoint:
                options["base_url"] = config.endpoint
            return store.GCSStore(bucket, **options, **_behaviour(config.endpoint))
        case "az":
            options = {"skip_signature": True} if config.anonymous else {}
            if config.endpoint:
                options["endpoint"] = config.endpoint
            return store.AzureStore(bucket, **options, **_behaviour(config.endpoint))
        case _:
            raise AssertionError(f"no object store for {scheme}")


def _s3_store(bucket: str, config: StorageConfig, here: Here) -> ObjectStore:
    from botocore.exceptions import NoCredentialsError
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

    session = _session(config, here)
    client = _s3_client(config, here)
    endpoint = client.meta.endpoint_url
    host = urlsplit(endpoint).hostname or ""
    custom = not host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    options: dict[str, Any] = {"region": _region(client, bucket, config, custom=custom)}
    if custom:
        options["endpoint"] = endpoint
    if config.anonymous:
        options["skip_signature"] = True
    elif session.get_credentials() is None:
        raise NoCredentialsError
    else:
        options["credential_provider"] = Boto3CredentialProvider(session)
    return S3Store(bucket, **options, **_behaviour(endpoint if custom else None))


def _region(client: Any, bucket: str, config: StorageConfig, *, custom: bool) -> str:
    """The bucket's region: as set, else asked of AWS, which answers even where it denies access."""
    from botocore.exceptions import BotoCoreError, ClientError

    if config.region or custom:
        return config.region or client.meta.region_name or "us-east-1"
    try:
        answer = client.head_bucket(Bucket=bucket)
    except ClientError as error:
        answer = error.response
    except BotoCoreError:
        answer = {}
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers.get("x-amz-bucket-region") or client.meta.region_name or "us-east-1"


def _behaviour(endpoint: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {"connect_timeout": "5 s", "timeout": "10 min", "read_timeout": "60 s"}
    if endpoint and endpoint.startswith("http://"):
        options["allow_http"] = True
    if bundle := os.environ.get("AWS_CA_BUNDLE"):
        options["root_certificate"] = Path(bundle).read_bytes()
    return {
        "client_options": options,
        "retry_config": {
            "max_retries": MAX_RETRIES,
            "retry_timeout": RETRY_TIMEOUT,
            "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=15), "base": 2},
        },
    }
