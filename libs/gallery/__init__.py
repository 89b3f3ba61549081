"""The gallery: watch lists of templates, in Qdrant's engine in this process or on a Qdrant server."""

from __future__ import annotations

from libs.gallery.contract import (
    Candidate,
    Gallery,
    GallerySettings,
    PossiblePair,
    Reference,
    ReferenceEntry,
    UnknownWatchListError,
    checked_version,
)

__all__ = [
    "Candidate",
    "Gallery",
    "GallerySettings",
    "PossiblePair",
    "Reference",
    "ReferenceEntry",
    "UnknownWatchListError",
    "open_gallery",
]


def open_gallery(settings: GallerySettings) -> Gallery:
    """A gallery on the engine that the settings name: a Qdrant server when there is a `url`, else embedded.

    Raises UserError when the settings or the directory are bad. A server is contacted by the first call.
    """
    checked_version(settings.template_version)
    if settings.url is not None:
        from libs.gallery.server import ServerGallery  # noqa: PLC0415 - one engine is imported, not both

        return ServerGallery(settings)
    from libs.gallery.edge import EdgeGallery  # noqa: PLC0415 - as above

    return EdgeGallery(settings)
