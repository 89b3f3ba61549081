"""Seals: what is sealed by one key opens with its other half alone, whole, and as what it is."""

import stat

import pytest
from nacl.bindings import crypto_sign_seed_keypair
from nacl.signing import SigningKey

from libs.errors import UserError
from libs.seals import PublicKey, SealError, Signer
from proto.deployments import Warrant
from proto.requests.deployments import DeploymentRequest
from proto.sealed import Sealed
from tests.examples import changed

WARRANT = changed("warrant")


@pytest.fixture
def govern():
    return Signer.generate("govern")


def test_what_is_sealed_opens_with_the_other_half(govern):
    assert govern.public.open(govern.seal(WARRANT), Warrant) == WARRANT


def test_it_opens_as_what_it_is_alone(govern):
    with pytest.raises(SealError, match="expected a deployment_request"):
        govern.public.open(govern.seal(WARRANT), DeploymentRequest)
    renamed = govern.seal(WARRANT).model_copy(update={"holds": "deployment_request"})
    with pytest.raises(SealError, match="signature"):
        govern.public.open(renamed, DeploymentRequest)


def test_another_key_opens_nothing(govern):
    with pytest.raises(SealError, match="not govern's"):
        Signer.generate("govern").public.open(govern.seal(WARRANT), Warrant)


def test_another_signer_is_another_even_with_the_same_key(govern):
    with pytest.raises(SealError):
        govern.public.open(govern.seal(WARRANT).model_copy(update={"signer": "a-jones"}), Warrant, "a-jones")


@pytest.mark.parametrize("place", [0, 10, -1])
@pytest.mark.parametrize("part", ["body", "signature"])
def test_one_bit_that_changes_is_seen(govern, part, place):
    sealed = govern.seal(WARRANT)
    changed_bytes = bytearray(getattr(sealed, part))
    changed_bytes[place] ^= 1
    with pytest.raises(SealError):
        govern.public.open(sealed.model_copy(update={part: bytes(changed_bytes)}), Warrant)


def test_what_is_well_sealed_and_no_such_message_is_refused(govern):
    sealed = govern.seal(WARRANT)
    emptied = Signer("govern", govern._key)
    signature = emptied._key.sign(Sealed(**{**dict(sealed), "body": b"\x80"}).signed()).signature
    with pytest.raises(SealError, match="not a warrant"):
        govern.public.open(sealed.model_copy(update={"body": b"\x80", "signature": signature}), Warrant)


def test_the_signature_is_that_of_rfc_8032():
    """Of its first test vector: an empty message."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public, _ = crypto_sign_seed_keypair(seed)
    assert public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert SigningKey(seed).sign(b"").signature.hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974")


# -- keys in files


def test_a_key_is_saved_for_its_owner_alone_and_loaded_again(govern, tmp_path):
    path = tmp_path / "keys" / "govern.key"
    govern.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Signer.load("govern", path).public == govern.public


def test_a_key_is_never_overwritten(govern, tmp_path):
    govern.save(tmp_path / "govern.key")
    with pytest.raises(UserError, match="exists already"):
        Signer.generate("govern").save(tmp_path / "govern.key")
    assert Signer.load("govern", tmp_path / "govern.key").public == govern.public


def test_a_key_that_others_can_read_is_refused(govern, tmp_path):
    path = tmp_path / "govern.key"
    govern.save(path)
    path.chmod(0o640)
    with pytest.raises(UserError, match="chmod 600"):
        Signer.load("govern", path)


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31, "not a key", "\xff\xfe"])
def test_a_file_without_a_key_is_refused_and_not_shown(tmp_path, text):
    path = tmp_path / "govern.key"
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(UserError, match="holds no private key") as refused:
        Signer.load("govern", path)
    assert not text or text not in str(refused.value)


def test_a_key_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        Signer.load("govern", tmp_path / "nothing")


@pytest.mark.parametrize("text", ["", "ab" * 31, "zz" * 32])
def test_what_is_no_public_key_is_refused(text):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        PublicKey.parse(text)


def test_a_public_key_is_the_same_however_it_was_read(govern):
    assert PublicKey.parse(f" {govern.public} \n") == govern.public
    assert len({PublicKey.parse(str(govern.public)), govern.public}) == 1


def test_a_private_key_is_never_shown(govern, tmp_path):
    govern.save(tmp_path / "govern.key")
    private = (tmp_path / "govern.key").read_text().strip()
    assert private not in repr(govern) + str(govern) + repr(vars(govern))
