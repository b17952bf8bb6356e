"""The Recipe: the complete, frozen, serialisable description of a training run.

A recipe is data. `convscope train NAME --set optimizer.lr=0.004` changes one field; the resolved
recipe is saved in the run, and the same recipe with the same data gives the same bytes.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from convscope.data.augment import Augmentation
from convscope.errors import InputError
from convscope.text import printable

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelChoice(_Part):
    """Which network: a name of `convscope list models`, and the arguments of its function."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class Inputs(_Part):
    """How grey levels become the network's input.

    `measured`: mean 0 and standard deviation 1 over the training images, per channel.
    `unit`: grey level / 255. `lenet5-1998`: background −0.1, ink 1.175 (LeCun et al. 1998, II-B).
    `alexnet-2012`: levels 0 to 255 minus the measured mean (Krizhevsky et al. 2012, section 2;
    its local response normalisation needs that scale). `imagenet`: the constants most published
    ImageNet models were trained with.

    Pictures larger than the network's input are resized to it. Data whose pictures are all of one
    smaller size (IDX files, CIFAR's binary files, data by name) are centred in it by a border of
    level `fill` (`pad`), or enlarged (`resize`); the files of class folders, of any sizes, are
    always enlarged.

    Attributes:
        picture: the side in pixels of the picture that is kept, from which training takes random
            windows of the network's input size and evaluation the central one; 0: the picture is
            the input.
        aspect: a file of other proportions is stretched to the picture, or covers it and loses
            its rims.
    """

    normalisation: Literal["measured", "unit", "lenet5-1998", "alexnet-2012", "imagenet"] = (
        "measured"
    )
    fill: int = Field(default=0, ge=0, le=255)
    fit: Literal["pad", "resize"] = "pad"
    picture: int = Field(default=0, ge=0, le=2048)
    aspect: Literal["stretch", "cover"] = "stretch"


class Optimizer(_Part):
    """The update rule. `momentum`, `nesterov`: of sgd and muon; `betas`, `epsilon`: of adam, adamw.

    `muon` turns the weight matrices between the first layer and the last, see `training/muon.py`,
    at the rate `matrix_lr`, the share of its norm by which a step moves one; the rest goes by sgd.
    The schedule moves both rates.

    `sdlm` is the stochastic diagonal Levenberg-Marquardt of LeCun et al. 1998, App. C: each weight
    has the rate lr / (mu + its curvature), see `training/curvature.py`. The curvature is measured
    anew before each pass, on `curvature_images` of the training images.
    """

    kind: Literal["sgd", "adam", "adamw", "muon", "sdlm"] = "adam"
    lr: Positive = 0.001
    matrix_lr: Annotated[float, Field(gt=0.0, le=1.0)] = 0.04
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    nesterov: bool = False
    weight_decay: NotNegative = 0.0
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    epsilon: Positive = 1e-8
    mu: Positive = 0.02
    curvature: Literal["backpropagated", "exact"] = "backpropagated"
    curvature_images: int = Field(default=500, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "Optimizer":
        if self.nesterov and not (self.kind in ("sgd", "muon") and self.momentum > 0):
            raise ValueError("nesterov needs kind=sgd or muon, and momentum above 0")
        return self


class Schedule(_Part):
    """How the learning rate moves from step to step; see `training/schedule.py`.

    `warmup` is the rising share of a one-cycle or cosine schedule; `milestones` (in epochs) and
    `factor` belong to `step`; `milestones` and `levels`, the share of the peak after each of them,
    to `levels`; `final` is where the rate goes to in the end, a share of the peak.
    """

    kind: Literal["constant", "step", "levels", "one-cycle", "cosine"] = "constant"
    warmup: Fraction = 0.0
    start: Fraction = 0.04
    final: Fraction = 0.0
    milestones: tuple[Annotated[float, Field(ge=0.0, le=1e6)], ...] = ()
    factor: Annotated[float, Field(gt=0.0, le=10.0)] = 0.1
    levels: tuple[Annotated[float, Field(gt=0.0, le=10.0)], ...] = ()

    @model_validator(mode="after")
    def _a_level_for_each_milestone(self) -> "Schedule":
        if self.kind == "levels" and len(self.levels) != len(self.milestones):
            raise ValueError(
                f"levels has {len(self.levels)} values for {len(self.milestones)} milestones; "
                "give one for each"
            )
        return self


class Loss(_Part):
    """What is minimised. `map` and `distance` are Eq. 9 and Eq. 8 of LeCun et al. 1998."""

    kind: Literal["cross-entropy", "map", "distance"] = "cross-entropy"
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    j: Annotated[float, Field(gt=0.0, le=1e6)] = 1.0


class Initial(_Part):
    """Initial weights in place of the model's own; see `training/initial.py`.

    Attributes:
        whitening: the first convolution begins with the principal components of the training
            images' patches, each scaled to variance 1, and their negatives.
        identity: each later convolution begins by passing its input maps on, as far as it has
            outputs for them; outputs beyond these keep the model's own weights.
    """

    whitening: bool = False
    identity: bool = False


class Growth(_Part):
    """Progressive resizing: the first `share` of the steps sees pictures of `size` × `size`.

    Smaller pictures are several times cheaper, and what is learnt from them carries over (Howard
    2018, fast.ai's entry to DAWNBench; Touvron et al. 2019, arXiv:1906.06423, on the change of
    scale). A size of 0: all steps see the network's own. The pictures must be resized (`fit`).
    """

    size: int = Field(default=0, ge=0, le=1024)
    share: Fraction = 0.0


class Teachers(_Part):
    """Networks trained first, whose mean answer is learnt instead of the labels.

    See `training/teachers.py`. Label smoothing is then for them: no labels reach the network.

    Attributes:
        count: how many; 0: the labels are learnt.
        epochs: passes of each; 0: as many as the network makes.
        temperature: what scores are divided by before the softmax, theirs and the network's.
    """

    count: int = Field(default=0, ge=0, le=32)
    epochs: int = Field(default=0, ge=0, le=10_000)
    temperature: Annotated[float, Field(ge=0.1, le=100.0)] = 3.0


class Recipe(_Part):
    """Everything that decides what a training run computes.

    Attributes:
        name: the recipe's name, for people.
        data: catalog name or path of the data it is meant for; `--data` replaces it.
        epochs: passes over the training images.
        min_steps: a small data set is gone through again until it has made this many steps.
        max_steps: training ends after this many steps, in the midst of an epoch; 0: no limit.
        initial: what the weights begin with.
        growth: smaller pictures for the first steps.
        teachers: networks that are trained first, to learn from.
        validation: share of the training images held out for validation (stratified, seeded).
        order: of the training images: drawn anew for each epoch, drawn `once` for all, or as they
            are `stored`.
        averaging: decay per step of an exponential moving average of the weights, which is then
            what is validated and saved; 0 is none.
        patience: epochs without a better validation accuracy before training stops; 0 is never.
        stuck_after: steps after which a loss no better than guessing stops the run, 50 or more; 0
            is never.
        keep: which epoch's weights become the model: the best on validation, or the last.
        keep_epochs: whether the weights after each epoch are kept in the run, too, so that the lab
            can show how they came about; `auto`: those of small networks, up to 1 MB an epoch.
        device: where to compute; `auto` is the first of cuda, mps and cpu that is there.
        precision: of the arithmetic of convolutions and matrix products. Weights are kept and
            updated in float32 with either. `auto` and `memory_format` auto: what a short
            measurement of the real network finds fastest; the run records the choice.
        memory_format: order of the numbers in memory while training; like the precision and the
            number of threads it decides the speed, and the last bits of the result.
        fourier: names of convolutions to compute by spectra, or `auto`, those that a measurement
            finds faster so.
        kernels: whether convolutions with their pooling, and dense layers, are computed by the
            kernels of `convscope.kernels`, where those know them (float32 on the CPU alone), or
            else batch normalisation with its activation and pooling (channels_last on the CPU),
            and with it in bf16 SGD's update; `auto`: if a measurement of the network finds that
            faster. Unless `off`, kernels compute the layers of `fourier` in bf16, on processors
            with AVX512-BF16.
        threads: CPU threads; 0 takes one for each physical core.
        parallel: what several processes share out: the images of each batch (`data`), or the two
            columns of alexnet-2012 (`columns`, two processes). One process does all of it.
    """

    name: str = Field(max_length=100, pattern=r"^\w[\w.+-]*$")
    model: ModelChoice
    data: str = "mnist-sample"
    inputs: Inputs = Inputs()
    epochs: int = Field(default=10, ge=1, le=10_000)
    min_steps: int = Field(default=0, ge=0, le=100_000_000)
    max_steps: int = Field(default=0, ge=0, le=100_000_000)
    batch_size: int = Field(default=128, ge=1, le=1_000_000)
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    loss: Loss = Loss()
    augmentation: Augmentation = Augmentation()
    initial: Initial = Initial()
    growth: Growth = Growth()
    teachers: Teachers = Teachers()
    order: Literal["anew", "once", "stored"] = "anew"
    validation: Annotated[float, Field(ge=0.0, le=0.5)] = 0.1
    averaging: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    patience: int = Field(default=0, ge=0)
    stuck_after: int = Field(default=500, ge=0)
    keep: Literal["best", "last"] = "best"
    keep_epochs: Literal["auto"] | bool = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    memory_format: Literal["auto", "channels_last", "contiguous"] = "channels_last"
    fourier: Literal["auto"] | tuple[str, ...] = ()
    kernels: Literal["auto", "on", "off"] = "auto"
    threads: int = Field(default=0, ge=0, le=1024)
    parallel: Literal["data", "columns"] = "data"
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _stuck_after_is_a_window(self) -> "Recipe":
        if 0 < self.stuck_after < 50:
            raise ValueError(
                "stuck_after is 0, or at least 50, the steps the mean loss is taken of"
            )
        return self

    @model_validator(mode="after")
    def _growing_needs_resizing(self) -> "Recipe":
        if self.growth.size and (self.inputs.fit != "resize" or self.inputs.picture):
            raise ValueError("growth needs inputs.fit=resize and inputs.picture=0")
        return self

    @model_validator(mode="after")
    def _teachers_answer_in_probabilities(self) -> "Recipe":
        if self.teachers.count and self.loss.kind != "cross-entropy":
            raise ValueError("teachers.count above 0 needs loss.kind=cross-entropy")
        return self

    @model_validator(mode="after")
    def _columns_are_moved_apart(self) -> "Recipe":
        if self.parallel == "columns" and self.optimizer.kind not in ("sgd", "adam", "adamw"):
            raise ValueError(
                "parallel=columns needs optimizer.kind=sgd, adam or adamw: others look at whole "
                "matrices, of which each process has half"
            )
        return self

    @model_validator(mode="after")
    def _steps_are_in_order(self) -> "Recipe":
        if 0 < self.max_steps < self.min_steps:
            raise ValueError(
                f"max_steps is less than min_steps ({self.min_steps}); give at least as many, or 0"
            )
        return self

    @model_validator(mode="after")
    def _validation_is_needed(self) -> "Recipe":
        if self.patience and not self.validation:
            raise ValueError("patience needs a validation share above 0")
        return self

    @property
    def leaves_a_choice(self) -> bool:
        """Whether a measurement decides precision, order in memory or the use of spectra."""
        return "auto" in (self.precision, self.memory_format, self.fourier)

    def total_steps(self, steps_per_epoch: int) -> int:
        """Steps of the whole training on data of which one pass takes `steps_per_epoch` steps."""
        wanted = max(self.epochs * steps_per_epoch, self.min_steps)
        return min(wanted, self.max_steps) if self.max_steps else wanted


def recipe_from_json(document: object) -> Recipe:
    """The recipe in `document`.

    Raises:
        InputError: naming the field, what was received and what is allowed.
    """
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise InputError(describe(error, "recipe")) from None


def describe(error: ValidationError, what: str) -> str:
    """A pydantic error as one line: every field at fault, what it received, what is allowed."""
    parts = []
    for problem in error.errors(include_url=False)[:3]:
        where = ".".join(str(key) for key in problem["loc"]) or what
        received = printable(problem.get("input"), 60)
        message = problem["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        parts.append(f"{printable(where)}: {message} (received {received})")
    return f"{what} cannot be used: " + "; ".join(parts)
