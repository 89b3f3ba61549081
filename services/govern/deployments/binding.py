"""What a deployment is armed with, by hashes: nothing of it can be exchanged for another of the same name."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel

from proto.audit import Details
from proto.deployments import Binding, DeploymentRecord, location_sha256
from services.govern.deployments.situation import Situation
from services.govern.profiles.reading import Profile


def canonical_sha256(model: BaseModel) -> str:
    """The hash of a model's values, in hexadecimal; the same for equal models, whoever wrote them down."""
    text = json.dumps(model.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def bind(situation: Situation) -> Binding:
    """The lists, the cameras' locations and the profile as they are now."""
    return Binding(
        lists={name: watch_list.created_at for name, watch_list in situation.lists.items()},
        responses={name: watch_list.form.response for name, watch_list in situation.lists.items()},
        locations=locations_of(situation),
        profile_sha256=canonical_sha256(situation.profile),
        confirmations=situation.profile.confirmations,
        stamp=situation.profile.stamp,
    )


def locations_of(situation: Situation) -> dict[str, str]:
    """The hash of where the frames of each camera come from."""
    return {name: location_sha256(name, camera.location) for name, camera in situation.cameras.items()}


def told(binding: Binding) -> Details:
    """What the audit is told of a binding."""
    return {"profile_sha256": binding.profile_sha256, "binding_sha256": canonical_sha256(binding)}


def runs_under(record: DeploymentRecord, profile: Profile | None) -> bool:
    """Whether the profile is the one, value by value, under which the deployment was armed."""
    return profile is not None and record.binding.profile_sha256 == canonical_sha256(profile)
