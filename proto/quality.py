"""How usable a face is for comparison: what was measured of a sample, named as in ISO/IEC 29794-5.

None of these numbers says whose face it is; `unified` orders samples, it is not a probability. How each is
measured is written in docs/quality.md, so that a reader of a sample can show why it was taken or refused.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from proto.values import Measure


class Quality(BaseModel):
    """The quality components of one sample and the one number that they combine to."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    unified: float = Field(ge=0.0, le=1.0)
    """0..1, higher is better: the product of the component scores."""
    inter_eye_distance_px: Measure = Field(ge=0.0)
    """Between the eye centres, in pixels of the full frame."""
    sharpness: Measure = Field(ge=0.0)
    """Variance of the Laplacian over the variance of the luminance of the aligned chip; dimensionless."""
    head_pose_yaw_deg: Measure
    """Positive: turned to the subject's own left. Estimated from five landmarks."""
    head_pose_pitch_deg: Measure
    """Positive: looking up. Estimated from five landmarks."""
    head_pose_roll_deg: Measure
    """Positive: clockwise in the image. Estimated from the eyes."""
    under_exposure: float = Field(ge=0.0, le=1.0)
    """Share of the face's pixels that are nearly black."""
    over_exposure: float = Field(ge=0.0, le=1.0)
    """Share of the face's pixels that are nearly white."""
    dynamic_range: Measure = Field(ge=0.0)
    """Bits: the entropy of the luminance histogram of the face, 0..8."""
    detect_score: float = Field(ge=0.0, le=1.0)
    """What the detector answered; its own measure, not ours."""
