"""Signatures: keys, sealed messages, and who is trusted. Ed25519 (RFC 8032) by libsodium, through PyNaCl."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from nacl.encoding import HexEncoder
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from libs.errors import PermanentError, UserError
from proto import codec
from proto.messages import Message
from proto.sealed import GOVERN, Sealed, signed_bytes

M = TypeVar("M", bound=Message)


class SealError(PermanentError):
    """A sealed message that its signer did not write, or that holds something else than it should."""


class Signer:
    """A private key and the name of its holder."""

    def __init__(self, name: str, key: SigningKey) -> None:
        self.name = name
        self._key = key

    @classmethod
    def generate(cls, name: str) -> Signer:
        """A signer with a new key."""
        return cls(name, SigningKey.generate())

    @classmethod
    def load(cls, name: str, path: Path) -> Signer:
        """The signer whose key lies in the file `path`.

        Raises:
            UserError: no such file, others than its owner may read it, or it holds no key.
        """
        try:
            mode, held = path.stat().st_mode, path.read_bytes().strip()
        except OSError as error:
            raise UserError(f"the key {path} cannot be read ({error.strerror})", "check the path") from None
        if mode & 0o077:
            raise UserError(f"the key {path} can be read by others than its owner", f"run `chmod 600 {path}`")
        try:
            return cls(name, SigningKey(held, HexEncoder))
        except (ValueError, TypeError):
            raise UserError(f"{path} holds no private key", "make one with `watchline officer new`") from None

    def save(self, path: Path) -> None:
        """Writes the key to a file that only its owner may read.

        Raises:
            UserError: there is a file already, or it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(self._key.encode(HexEncoder) + b"\n")
        except FileExistsError:
            raise UserError(f"{path} exists already", "a key is never overwritten: choose another name") from None
        except OSError as error:
            raise UserError(f"the key {path} cannot be written ({error.strerror})", "choose another folder") from None

    @property
    def public(self) -> PublicKey:
        """The key that others check its signatures with."""
        return PublicKey(self._key.verify_key)

    def seal(self, message: Message) -> Sealed:
        """`message`, signed."""
        body = codec.encode(message)
        signature = self._key.sign(signed_bytes(message.kind(), self.name, body)).signature
        return Sealed(holds=message.kind(), signer=self.name, body=body, signature=signature)


class PublicKey:
    """A key that signatures are checked with."""

    def __init__(self, key: VerifyKey) -> None:
        self._key = key

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """The key in 64 hexadecimal digits.

        Raises:
            ValueError: it is none.
        """
        try:
            return cls(VerifyKey(text.strip().encode(), HexEncoder))
        except (ValueError, TypeError):
            raise ValueError("a public key is 64 hexadecimal digits") from None

    def __str__(self) -> str:
        return self._key.encode(HexEncoder).decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def open(self, sealed: Sealed, expected: type[M], signer: str = GOVERN) -> M:
        """The message in `sealed`, which `signer` signed with this key.

        Raises:
            SealError: another signer, another kind, a signature that does not fit, or no such message.
        """
        if sealed.signer != signer or sealed.holds != expected.kind():
            raise SealError(f"expected a {expected.kind()} sealed by {signer}")
        try:
            self._key.verify(sealed.signed(), sealed.signature)
        except BadSignatureError:
            raise SealError(f"the signature of the {sealed.holds} is not {signer}'s") from None
        try:
            return codec.decode(expected, sealed.body)
        except codec.DecodeError as error:
            raise SealError(str(error)) from None
