"""What a storage's failure means: one clear `SourceError` each, without URLs' queries or credentials."""

from __future__ import annotations

import re
from typing import Any, Final

from autoloader.errors import SourceError, StorageAwayError

_CODE: Final = re.compile(r"<Code>([^<]*)</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]*)</Message>")

_MISSING: Final = frozenset({"NoSuchBucket", "ContainerNotFound", "NotFoundBucket"})
_REJECTED: Final = frozenset(
    "InvalidAccessKeyId SignatureDoesNotMatch ExpiredToken ExpiredTokenException InvalidToken TokenRefreshRequired"
    " InvalidClientTokenId UnrecognizedClientException AuthenticationFailed InvalidAuthenticationInfo"
    " UnauthenticatedError".split()
)
_DENIED: Final = frozenset("AccessDenied AllAccessDisabled AccountProblem Forbidden 403 AuthorizationFailure".split())
_ELSEWHERE: Final = frozenset(
    "PermanentRedirect TemporaryRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException 301".split()
)
_NO_CREDENTIALS: Final = frozenset(
    "NoCredentialsError PartialCredentialsError CredentialRetrievalError SSOTokenLoadError TokenRetrievalError"
    " UnauthorizedSSOTokenError".split()
)
_NO_PROFILE: Final = frozenset({"ProfileNotFound"})
_UNREACHABLE: Final = frozenset(
    "EndpointConnectionError ConnectTimeoutError ConnectionError SSLError ProxyConnectionError InvalidEndpoint".split()
)
_NO_FILES_FAULT: Final = (_MISSING, _REJECTED, _ELSEWHERE, _NO_CREDENTIALS, _NO_PROFILE, _UNREACHABLE)
_GRANTS: Final = {
    "s3": " (s3:ListBucket, s3:GetObject)",
    "gs": " (storage.objects.list, storage.objects.get)",
    "az": " (the role Storage Blob Data Reader)",
}
THROTTLED: Final = frozenset(
    "SlowDown 503 ServiceUnavailable Throttling ThrottlingException RequestLimitExceeded ServerBusy"
    " RequestTimeout InternalError 500 502 504".split()
)


def error_code(error: BaseException) -> str:
    """The storage's own code for a failure; empty if it has none."""
    return _code_and_message(error)[0]


def source_error(uri: str, doing: str, error: BaseException) -> SourceError:
    """Say what a failure means.

    Args:
        uri: What was dealt with.
        doing: A past participle: "listed", "read".
        error: Of botocore, obstore or the operating system.
    """
    if isinstance(error, SourceError):
        return error
    code, message = _code_and_message(error)
    place = "/".join(uri.split("/", 3)[:3])
    why = f"{code}: {message}" if code and message else code or message
    kind = type(error).__name__
    for known, what, fix in _meanings(uri, doing, place):
        if code in known or kind in known:
            kind_of_error = StorageAwayError if known in _NO_FILES_FAULT else SourceError
            return kind_of_error(what, why=why or kind, fix=fix)
    return SourceError(
        f"{uri} could not be {doing}.", why=why or kind, fix="Run `autoloader doctor` to check the storage."
    )


def _meanings(uri: str, doing: str, place: str) -> list[tuple[frozenset[str], str, str]]:
    scheme = place.partition(":")[0]
    return [
        (_MISSING, f"The bucket {place} does not exist.", "Correct source.path, or create the bucket."),
        (
            _REJECTED,
            f"The credentials for {place} were rejected.",
            "Renew or correct them: environment variables, or the profile under storage in autoloader.yml.",
        ),
        (
            _DENIED | {"PermissionDeniedError", "PermissionError"},
            f"Access to {uri} was denied: it could not be {doing}.",
            f"Grant listing and reading{_GRANTS.get(scheme, '')}, or use other credentials.",
        ),
        (_ELSEWHERE, f"The bucket {place} is in another region.", f"Set storage.{scheme}.region in autoloader.yml."),
        (
            _NO_CREDENTIALS,
            f"There are no credentials for {place}.",
            f"Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, log in to a profile, or set storage.{scheme}.anonymous.",
        ),
        (
            _NO_PROFILE,
            f"The profile for {place} does not exist.",
            f"Correct storage.{scheme}.profile, or add it by `aws configure --profile NAME`.",
        ),
        (
            _UNREACHABLE,
            f"The storage of {place} cannot be reached.",
            f"Check the network and the endpoint (storage.{scheme}.endpoint, AWS_ENDPOINT_URL).",
        ),
        (
            THROTTLED | {"ReadTimeoutError", "ConnectionClosedError", "ResponseStreamingError", "HTTPClientError"},
            f"The storage of {place} kept failing: {uri} could not be {doing} completely.",
            "Nothing was changed. Try again later.",
        ),
        (
            frozenset({"ParamValidationError", "InvalidBucketName"}),
            f"{place} is not a valid bucket name.",
            "Correct source.path.",
        ),
    ]


def _code_and_message(error: BaseException) -> tuple[str, str]:
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        inner = response["Error"]
        return str(inner.get("Code", "")), _first_line(str(inner.get("Message", "")))
    text = str(error)
    if code := _CODE.search(text):
        message = _MESSAGE.search(text)
        return code[1], _first_line(message[1]) if message else ""
    if "error sending request" in text or "HTTP error" in text:
        return "ConnectionError", _first_line(text)
    if status := re.search(r"non-2xx status code: (\d{3})", text):
        return status[1], ""
    return "", _first_line(text)


def _first_line(text: str) -> str:
    """Without what may be secret: the user information and the query of URLs."""
    line = re.sub(r"(?<=://)[^/@\s\"']*@", "***@", text.partition("\n")[0])
    return re.sub(r"\?[^ ]*", "", line)[:300]
