"""The configuration of a run. A value's doc line says what it does, its unit, and what reads it.

One class per room; a stage's fingerprint covers the section that it reads, so a changed threshold in ``questions``
reruns questions and nothing before it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class VideoConfig(Section):
    """Sources, shots, clips, frames, quality gates."""

    question_frames: int = Field(default=32, ge=2)
    """Frames of a clip that a question can name (uniform over the clip)."""
    min_clip_s: float = 3.0
    """Shorter shots are rejected as ``too_short``."""
    max_clip_s: float = 15.0
    """Longer shots are cut into equal clips of at most this length."""
    trim_s: float = 0.3
    """Cut away at both sides of a detected shot boundary (not at the ends of the file)."""
    measure_fps: float = 10.0
    """Least rate of the measuring frames; more are taken where the image moves fast."""
    max_width: int = 1280
    """Wider frames are scaled down to this width before anything is measured or published."""
    hfov_deg: float = 60.0
    """Horizontal field of view assumed for a perspective source without calibration."""
    baseline_m: float = 0.063
    """Baseline assumed for a stereo source without calibration."""
    vr180_hfov_deg: float = 60.0
    """Field of view of the perspective view cut out of VR180 video."""
    vr180_size_px: int = 768
    """Largest width and height of that view; smaller where the source is coarser (1.75 times its own resolution)."""
    image_fps: float = Field(default=10.0, gt=0)
    """Frame rate assumed for image folders without calibration."""
    min_frames: int = Field(default=8, ge=2)
    """Clips of fewer frames are rejected as ``too_short``."""
    min_size_px: int = 128
    """Eyes narrower or lower than this are rejected as ``too_small``."""
    measure_motion_share: float = Field(default=0.03, gt=0)
    """Largest image motion between measuring frames, as a share of the width, where the source has the frames for it."""
    max_measure_frames: int = Field(default=192, ge=2)
    """Cap of the measuring frames of a clip (they are held in memory: 5.5 MB each for stereo at 1280x720)."""
    crf: int = Field(default=18, ge=0, le=40)
    """Quality of the published H.264 video (x264's constant rate factor; lower is better)."""
    min_brightness: float = 16.0
    """Clips whose median frame has a lower mean luma (0..255) are rejected as ``too_dark``."""
    max_brightness: float = 240.0
    """The other end: ``too_bright``."""
    max_blur_px: float = 4.0
    """Clips whose edges are blurred by more (standard deviation, median frame) are ``too_blurred``; px of a 640 px wide eye."""
    max_vertical_px: float = 1.0
    """Largest vertical disparity of a rectified pair, median and spread, in pixels of a 640 px wide eye."""


class CamerasConfig(Section):
    """Camera paths."""

    corners: int = 1000
    """Corners tracked per frame."""
    max_relative_error: float = 0.01
    """A path whose truth-free error estimate exceeds this share of its length is rejected (``pose_uncertain``) ..."""
    max_error_m: float = 0.02
    """... unless the estimate is below this, metres."""
    min_inlier_ratio: float = 0.35
    """A path that explains a smaller share of the tracks is rejected (``pose_outliers``)."""
    backend: Literal["classical", "depth_anything_3", "vggt"] = "classical"
    """What proposes the path of a clip with one eye: structure from motion, or a network. The clip's own corners adjust and judge
    a network's path (docs/backends-depth-poses.md). Stereo clips measure theirs in metres, whatever stands here."""
    features: Literal["classical", "superpoint", "xfeat", "aliked"] = "classical"
    """What structure from motion matches: SIFT, or one of three networks, each with a LightGlue of its own (extra ``models``;
    SuperPoint's weights are for research only)."""
    weights: str = ""
    """The model of ``backend`` or of ``features``: a folder, or a Hugging Face id where it is one of transformers'; empty for the
    usual one."""
    device: str = "auto"
    """``cuda``, ``cuda:1``, ``mps``, ``cpu``; ``auto`` takes a GPU where there is one."""
    batch: int = Field(default=4, ge=1)
    """Frames that a network of ``features`` is given at once, pairs of them for superpoint; halved where the memory does not
    suffice."""


class DepthConfig(Section):
    """Depth: stereo matching, and for one eye a model."""

    max_disparity_share: float = 0.2
    """Largest disparity searched, as a share of the image width."""
    mono: Literal["none", "depth_anything_v2", "depth_pro", "zoedepth", "moge2", "depth_anything_3"] = "none"
    """Model of metric depth for sources with one eye (docs/backends-depth-poses.md). ``none``: their paths have no scale, and
    nothing in metres is asked of them."""
    weights: str = ""
    """The model: a folder or a Hugging Face id; empty for the usual one of ``mono``."""
    domain_sigma_rel: float = Field(default=0.15, gt=0)
    """How far the model's metres may be off for a whole clip, relative: its error on scenes like yours, which no clip shows. From
    0.09 on no number can be asked of clips with one eye, only words; a value below the truth makes wrong labels."""
    domain_max_m: float = Field(default=80.0, gt=0)
    """Farthest depth that the model was trained for, metres; points beyond do not count; clips of little else are rejected."""
    device: str = "auto"
    """``cuda``, ``cuda:1``, ``mps``, ``cpu``; ``auto`` takes a GPU where there is one."""
    batch: int = Field(default=4, ge=1)
    """Frames that the model is given at once; halved where the memory does not suffice."""
    compile: bool = False
    """Compile the model (``torch.compile``): pays from some dozens of clips per worker on."""


class ImportsConfig(Section):
    """Annotations made elsewhere (``annotations/`` beside a source). The sigmas are assumed where a maker states none."""

    use: bool = True
    """Take camera path and objects from a source's annotations where it has some; else everything is measured."""
    min_agreement: float = Field(default=0.5, ge=0, le=1)
    """Annotated poses are refused (``annotation_disagrees``) when a smaller share of corners moves as they say."""
    position_sigma_m: float = Field(default=0.02, ge=0)
    """Of a camera centre, per axis, metres."""
    drift_share: float = Field(default=0.02, ge=0)
    """Of a camera centre relative to the first one, as a share of the way between them."""
    rotation_sigma_deg: float = Field(default=0.2, ge=0)
    """Of a camera's orientation, per axis."""
    scale_sigma_rel: float = Field(default=0.05, ge=0)
    """Relative error that all lengths of a clip share."""
    point_sigma_m: float = Field(default=0.02, ge=0)
    """Of a tracked 3D point, metres, ..."""
    point_sigma_rel: float = Field(default=0.02, ge=0)
    """... and as a share of its distance to the camera."""
    depth_sigma_rel: float = Field(default=0.05, ge=0)
    """Of annotated depth maps."""
    box_sigma_m: float = Field(default=0.15, ge=0)
    """Of a 3D box's centre, metres."""


class ObjectsConfig(Section):
    """Moving objects."""

    backend: Literal["motion", "onnx", "sam3", "grounded_sam2", "edgetam"] = "motion"
    """``motion`` finds and outlines what moves by geometry alone. The others add a model that names it and sharpens its outline
    (see docs/backends.md); what moves stays geometry's decision. ``onnx`` runs on a CPU, the others want a GPU."""
    max_objects: int = 8
    """Largest number of objects kept per clip."""
    weights: str = ""
    """The model: for ``onnx`` a detector's file or URL; for the others a folder or a Hugging Face id, empty for the usual one."""
    weights_sha256: str = ""
    """Checksum that ``weights`` must have; a URL needs it."""
    segmenter: str = ""
    """``onnx``: file or URL of a semantic segmentation model (.onnx, .tflite) that turns boxes into masks; empty: none."""
    segmenter_sha256: str = ""
    """Checksum that ``segmenter`` must have; a URL needs it."""
    detector: str = ""
    """``grounded_sam2``, ``edgetam``: folder or Hugging Face id of the Grounding DINO for the prompts; empty for the usual."""
    prompts: tuple[str, ...] = ("person", "car", "truck", "bus", "bicycle", "motorcycle", "dog", "cat", "horse", "bird", "ball")
    """What ``sam3``, ``grounded_sam2`` and ``edgetam`` look for, unless ``naming.entities`` asks a model per clip."""
    points: Literal["flow", "cotracker"] = "flow"
    """What says roughly where points go, before Lucas-Kanade says it exactly: optical flow, or a learned tracker (for GPUs)."""
    points_weights: str = ""
    """``cotracker``: a clone of its repository with its checkpoint; empty loads it from the hub."""
    least_score: float = Field(default=0.35, ge=0, le=1)
    """A model's detections that are less sure than this are not used."""
    device: str = "auto"
    """``cuda``, ``cuda:1``, ``mps``, ``cpu``; ``auto`` takes a GPU where there is one."""
    batch: int = Field(default=8, ge=1)
    """Frames (detectors) or objects (trackers) that a model is given at once; halved where the memory does not suffice."""
    compile: bool = False
    """Compile the models (``torch.compile``): pays from some dozens of clips per worker on."""


class NamingConfig(Section):
    """Words for objects from a video model behind an OpenAI-compatible endpoint. Without one, classes and geometry serve."""

    endpoint: str = ""
    """Base URL of the endpoint, such as ``http://localhost:8000/v1``; empty asks nobody."""
    model: str = ""
    """Name of the model that the endpoint serves."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key. The key itself stands in no file."""
    entities: bool = True
    """Ask which things act in a clip, and look for these in place of ``objects.prompts``."""
    regions: bool = True
    """Ask for a description of every object from crops in which it is outlined."""
    frames: int = Field(default=8, ge=1, le=64)
    """Frames of the clip that the question about entities shows."""
    crops: int = Field(default=3, ge=1, le=16)
    """Crops that the question about one object shows."""
    timeout_s: float = Field(default=60.0, gt=0)
    """Wall time of one request."""
    attempts: int = Field(default=4, ge=1)
    """Requests that are made before an answer is given up; the words then come from classes and geometry."""


class RelationsConfig(Section):
    """Facts and their margins."""

    k_sigma: float = 3.0
    """A fact may be asked where the answer is at least this many sigma away from being another one."""
    max_pairs: int = 12
    """Pairs of question frames (i, j) that facts are computed for, per subject (the camera, or one object)."""
    min_span: int = 4
    """Least number of question frames between i and j."""
    min_camera_motion_m: float = 0.10
    """Margins of camera kinds count from this much motion."""
    min_object_motion_m: float = 0.15
    """Margins of object_distance, lateral and longitudinal count from this much motion."""
    min_object_range_m: float = 0.30
    """Margins of object_camera_distance count from this distance."""
    still_m: float = 0.15
    """A distance to the camera that changed by less than this is ``not moving`` ..."""
    moving_m: float = 0.30
    """... and one that changed by more is ``closer`` or ``farther``; in between nothing is asked."""
    direction_band_deg: float = 10.0
    """Half-width of the band around a diagonal in which no direction of the camera counts as the main one."""
    axis_sigma_deg: float = 0.5
    """Doubt about where the camera's axes point in the world as people see it (rectification, mounting)."""
    max_direction_sigma_deg: float = 10.0
    """A direction that is less certain is not asked (paths without scale)."""
    max_view_angle_deg: float = 45.0
    """object_camera_distance is not asked where camera i would look at the object from a side that camera j did not see."""
    calibration_sigma_rel: float = 0.003
    """Relative error of all lengths with a given calibration (baseline, focal length)."""
    assumed_sigma_rel: float = 1.0
    """The same where part of the calibration was assumed and not given. Real baselines differ by a factor of ten, so at the
    default no number is asked of such a clip; lower it (0.02, say) when ``video.baseline_m`` is what your rig really has."""
    place_m: float = Field(default=0.15, gt=0)
    """An object, or a turning camera, that stays within this distance of its place has not left it."""
    move_m: float = Field(default=0.30, gt=0)
    """Least way of objects whose headings are compared, that turn back, and of a dolly, truck, pedestal or arc."""
    still_camera_m: float = Field(default=0.05, gt=0)
    """A camera that stays within this distance, and below ``still_turn_deg``, is static ..."""
    camera_moves_m: float = Field(default=0.15, gt=0)
    """... and one that goes farther than this, or turns by more than ``turning_deg``, moves; in between nothing is asked."""
    still_turn_deg: float = Field(default=1.5, gt=0)
    """A camera that turned by less is ``not turning`` ..."""
    turning_deg: float = Field(default=4.0, gt=0)
    """... and one that turned by more has a sense and an angle; in between nothing is asked."""
    move_turn_deg: float = Field(default=8.0, gt=0)
    """Least turn of a pan, a tilt or an arc."""
    speed_ratio: float = Field(default=1.25, gt=1)
    """Speeds are told apart from this factor on."""
    max_winding: float = Field(default=0.08, ge=0)
    """A way that is longer than the straight line by a larger share has no speed that is asked about."""
    least_run_s: float = Field(default=0.4, gt=0)
    """Standing or moving that lasts less is no part of an object's course."""
    picture_shift: float = Field(default=0.04, ge=0)
    """Least shift in the picture, as a share of its width, whose cause is asked about."""
    max_object_pairs: int = Field(default=6, ge=0)
    """Pairs of objects per clip that facts are computed for."""


class QuestionsConfig(Section):
    """Wording, options, caps."""

    max_per_clip: int = Field(default=48, ge=1)
    """Cap of questions per clip, spread over the kinds."""
    max_per_kind: int = Field(default=8, ge=1)
    """Cap of questions per clip and kind."""
    kinds: tuple[str, ...] = ()
    """Only these kinds; empty means all, or those of the preset."""
    preset: Literal["", "mllm4d-2m", "mllm4d-r1-30k", "mllm4d-bench"] = ""
    """The kinds of one of the paper's data sets, in its shares. ``rft`` then has the shares of MLLM4D-R1-30k, ``bench`` those of
    MLLM4D-Bench."""
    shares: dict[str, float] = Field(default_factory=dict)
    """Share of each kind among a split's questions, in any unit; empty means as they come. Kinds left out are not asked.
    Questions of the other kinds are dropped by lot until the scarcest kind has its share."""
    frames: Literal["both", "index", "seconds"] = "both"
    """How questions name a moment: "frame 4 of 31 (1.3 s)", "frame 4 of 31" or "1.3 s"."""
    mark_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the questions about objects that name them by a mark, ``<obj_1>`` with its box in the first frame that shows it,
    and not by a description; objects that no description fits can be asked about in this way only."""
    open_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the questions with a number for an answer that ask for the number and offer no options."""
    option_sigmas: float = 6.0
    """A wrong number is at least this many sigma from the right one: at twice ``relations.k_sigma`` the labelled option stays
    the nearest to the truth even if the measurement errs by k sigma."""
    least_ratio: float = Field(default=1.3, gt=1.0)
    """Neighbouring numeric options differ at least by this factor (by more where the measurement is less certain) ..."""
    ratio_spread: float = Field(default=1.5, gt=1.0)
    """... and at most by this many times it."""
    max_least_ratio: float = 2.5
    """A number that would need a larger factor is too uncertain to be asked."""
    max_ratio: float = 10.0
    """Largest over smallest of the four numbers that ``select`` brings together."""
    near_frames: int = 2
    """Two pairs (i, j) that differ by at most this many question frames at both ends ask the same."""
    balance: bool = True
    """Choose a split's questions, and draw their numbers, so that no label and no typical value is more likely than another."""


class ReasoningConfig(Section):
    """Chains of thought and the training sets that use them."""

    max_per_clip: int = 6
    """Reasoned samples per clip."""
    paths: int = Field(default=1, ge=1)
    """Chains of thought per sample, each phrased differently."""
    prose: Literal["mixed", "qualitative", "quantitative"] = "mixed"
    """Whether the prose names measured amounts (shares of the picture, angles, lengths); ``mixed``: every second one does."""


class RewriteConfig(Section):
    """Chains of thought written anew by a model, and checked.

    Address, model and key come from the environment (``OPENAI_BASE_URL``, ``OPENAI_MODEL``, ``OPENAI_API_KEY``), so that no key
    stands in a file.
    """

    by: Literal["nobody", "endpoint", "ray"] = "nobody"
    """``nobody``: the template text is used, marked ``template``. ``endpoint``: any server that speaks the OpenAI protocol.
    ``ray``: ``ray.data.llm`` on the cluster's GPUs."""
    paths: int = Field(default=3, ge=1)
    """Texts asked for per sample (K)."""
    max_samples: int = Field(default=0, ge=0)
    """Samples that are rewritten, spread over the kinds; 0 means all."""
    temperature: float = Field(default=1.0, ge=0, le=2)
    """Of the model."""
    max_tokens: int = Field(default=1500, ge=64)
    """Of a reply."""
    frames: int = Field(default=0, ge=0, le=32)
    """Frames of the clip, from the first to the last one in question, that are sent along; 0 sends text only."""
    frame_width: int = Field(default=448, ge=64)
    """Their width, px."""
    concurrency: int = Field(default=16, ge=1)
    """Requests under way at a time."""
    timeout_s: float = Field(default=120.0, gt=0)
    """For one request."""
    attempts: int = Field(default=5, ge=1)
    """Tries per text, where the server is busy, broken or silent."""
    max_wait_s: float = Field(default=60.0, ge=0)
    """Longest pause between two tries, also where the server asks for more."""
    give_up_after: int = Field(default=20, ge=1)
    """Texts lost in a row to a server that does not answer, after which no more are asked for."""
    min_words: int = Field(default=60, ge=0)
    """Shorter prose is refused (``too_short``)."""
    max_words: int = Field(default=450, ge=1)
    """Longer prose is refused (``too_long``)."""
    weights: Literal["code", "paper"] = "code"
    """Weights of the reward by which texts are kept."""
    keep_template: bool = True
    """A sample of which no text is kept publishes its template text."""
    price_in: float = Field(default=0.0, ge=0)
    """Price of a million tokens sent, in any currency; for the summary."""
    price_out: float = Field(default=0.0, ge=0)
    """The same for tokens received."""
    copies: int = Field(default=1, ge=1)
    """Copies of the model that run at a time (``ray``)."""
    gpus: int = Field(default=1, ge=1)
    """GPUs that share one copy (``ray``)."""
    cache: str = ""
    """Folder of the replies, by content; empty: inside the run folder. Runs may share one."""


class ShardsConfig(Section):
    """The published folder."""

    rows_per_shard: int = Field(default=20000, ge=1)
    """Rows per Parquet file."""
    bench_share: float = Field(default=0.1, ge=0, le=1)
    """Share of the sources (by the left eye's content) held out for ``bench``; they never reach a training config. Of two
    sources or more at least one is held out, unless this is 0; what a run folder once held out stays so."""
    bench_size: int = Field(default=0, ge=0)
    """Questions of ``bench``, equally many of each kind (or in the shares of ``questions.preset``); 0: as many as allow that."""
    rft_size: int = Field(default=0, ge=0)
    """Questions of ``rft``; 0: as many as there are."""
    rft_min_motion_m: float = Field(default=0.5, ge=0)
    """``rft`` takes clips in which camera and objects move at least so far beyond doubt (the clip's largest ``motion_score``)."""
    rft_shares: dict[str, float] = {}
    """Shares of the kinds in ``rft``; empty: those of MLLM4D-R1-30k with a ``questions.preset``, else as they come. Kinds that
    are not named are left out."""
    exclude: str = ""
    """File of evaluation videos (``python -m pipelines.exclude``); sources that show one of them are rejected."""


class RunConfig(Section):
    """How the run is carried out. Nothing here changes what is published, so no fingerprint reads it."""

    runner: Literal["local", "ray"] = "local"
    """``local``: child processes of this machine. ``ray``: Ray Data on a cluster."""
    workers: int = Field(default=0, ge=0)
    """Clips measured at a time; 0 means one per core (local) or as many as the cluster holds (ray)."""
    clip_timeout_s: float = Field(default=900.0, gt=0)
    """Wall time after which a clip is given up as failed (``timeout``)."""
    plan_timeout_s: float = Field(default=3600.0, gt=0)
    """The same for finding the shots of one source, which reads all of it once."""
    clip_memory_gb: float = Field(default=8.0, ge=0)
    """Memory that one clip's process may allocate, GiB, before it fails with ``MemoryError``; 0 means no limit."""
    cpus_per_clip: float = Field(default=1.0, gt=0)
    """Cores that Ray reserves for a clip."""
    gpus_per_model: float | None = Field(default=None, ge=0)
    """Share of a GPU that Ray reserves for a worker that holds a model; empty takes what the stage declares."""
    model_workers: int = Field(default=0, ge=0)
    """Workers with a model, per stage that has one; 0 means as many as the cluster's GPUs hold (one where it needs none)."""
    nodes_timeout_s: float = Field(default=600.0, ge=0)
    """How long to wait for a Ray cluster to bring a node that is large enough for a clip, at the start and after one has gone."""
    scratch: str = ""
    """Folder of each machine for what is fetched from a store and for half-made work. $VARIABLES are each machine's own;
    empty means below TMPDIR."""
    scratch_gb: float = Field(default=50.0, gt=0)
    """Fetched videos are kept there for the next clip up to this size, GiB; those used longest ago go first."""
    max_failure_rate: float = Field(default=0.5, ge=0, le=1)
    """The run exits non-zero when a larger share of clips *failed* (rejections do not count)."""
    max_blind_excess: float = Field(default=0.02, ge=0, le=1)
    """The run exits non-zero when a guesser that never sees the video beats chance by more, on any published table of questions
    and beyond what luck explains (see ``pipelines.audit``); 1 checks nothing."""
    max_attempts: int = Field(default=3, ge=1)
    """A clip that failed this often stays in quarantine, whatever is asked for."""


class TrainConfig(Section):
    """What follows a build. Nothing here changes what is published, so no fingerprint reads it."""

    after_build: tuple[Literal["sft", "cold-start", "grpo"], ...] = ()
    """Stages that ``pipelines.train`` carries out, in this order, when a build has finished; empty: none."""
    options: tuple[str, ...] = ()
    """Its options for all of them: ``[--backend, ms-swift, --on, slurm, --gpus, "8"]``."""


class Config(Section):
    """Everything that decides what a run publishes, and how it runs."""

    seed: int = 0
    """Seed of every random choice, together with the clip's id and the purpose."""
    video: VideoConfig = VideoConfig()
    cameras: CamerasConfig = CamerasConfig()
    depth: DepthConfig = DepthConfig()
    objects: ObjectsConfig = ObjectsConfig()
    naming: NamingConfig = NamingConfig()
    imports: ImportsConfig = ImportsConfig()
    relations: RelationsConfig = RelationsConfig()
    questions: QuestionsConfig = QuestionsConfig()
    reasoning: ReasoningConfig = ReasoningConfig()
    rewrite: RewriteConfig = RewriteConfig()
    shards: ShardsConfig = ShardsConfig()
    run: RunConfig = RunConfig()
    train: TrainConfig = TrainConfig()
