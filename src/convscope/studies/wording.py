"""Numbers and verdicts as people read them: for the terminal, the page and the claims."""

from collections.abc import Mapping, Sequence
from typing import Any

from convscope.studies.verdicts import is_share, margins

Effect = Mapping[str, Any]
Claim = Mapping[str, Any]

UNITS = {
    "loss_gap": "nats",
    "epochs_to_loss": "epochs",
    "epochs_to_error": "epochs",
    "gradient_decay": "decades",
    "trained_gradient_decay": "decades",
    "locate_vector": "px",
}


def unit(measure: str) -> str:
    """The unit of a difference in a measure; an empty text where it is a number of things."""
    return "points" if is_share(measure) else UNITS.get(measure, "")


def number(value: float) -> str:
    """Four significant digits, whole numbers in full.

    >>> number(60000.0), number(-0.25118), number(12.0)
    ('60,000', '−0.2512', '12')
    """
    whole = float(value).is_integer() and abs(value) < 1e12
    shown = f"{value:,.0f}" if whole else f"{value:.4g}"
    return shown.replace("-", "−")


def value_text(value: float | None, measure: str) -> str:
    """One arm's mean.

    >>> value_text(0.98123, "test_accuracy"), value_text(61706.0, "parameters")
    ('98.12 %', '61,706')
    """
    if value is None:
        return "–"
    return f"{100 * value:.2f} %".replace("-", "−") if is_share(measure) else number(value)


def command_text(document: Mapping[str, Any], data: Sequence[str] = ()) -> str:
    """What one types to get the rows of a results document again, with the data named so.

    >>> one = {"study": "pooling-cost", "budget": {"name": "full"}, "seeds": 1}
    >>> command_text(one | {"trained": False, "timing": False}, ["MNIST"])
    'convscope study pooling-cost --data MNIST --budget full --report'
    """
    words = ["convscope study", document["study"], *(f"--data {one}" for one in data)]
    words.append(f"--budget {document['budget']['name']}")
    if document["trained"] or document["timing"]:
        words.append(f"--seeds {document['seeds']}")
    return " ".join([*words, "--report"])


def length_text(budget: Mapping[str, Any]) -> str:
    """How long each network was trained.

    >>> length_text({"epochs": 5}), length_text({"epochs": 5, "steps": 1600})
    ('5 epochs', '1,600 steps')
    """
    steps = budget.get("steps", 0)
    return f"{steps:,} steps" if steps else f"{budget['epochs']} epochs"


def training_images_text(data: Mapping[str, Any]) -> str:
    """How many training images the arms have.

    >>> training_images_text({"train": 2000}), training_images_text({"train": 8, "least_train": 4})
    ('2,000', '4 to 8')
    """
    least = data.get("least_train", data["train"])
    most = f"{data['train']:,}"
    return most if least == data["train"] else f"{least:,} to {most}"


def effect_text(effect: Effect, *, interval: bool = True) -> str:
    """The effect with its interval: `+0.42 points (−0.10 to +0.94)`, or `× 0.12`.

    >>> one = {"comparison": {"measure": "gap", "kind": "difference"}, "effect": 0.0042}
    >>> effect_text(one | {"low": -0.001, "high": 0.0094, "exact": False})
    '+0.42 points (−0.10 to +0.94)'
    """
    comparison = effect["comparison"]
    value, low, high = effect["effect"], effect["low"], effect["high"]
    if value is None:
        return "not measured"
    ratio = comparison.get("kind") == "ratio"
    measure = comparison["measure"]
    shares = is_share(measure) and not ratio

    def one(amount: float) -> str:
        if ratio:
            return f"{amount:.3g}"
        if shares:
            return f"{100 * amount:+.2f}".replace("-", "−")
        whole = float(amount).is_integer()
        return (f"{amount:+,.0f}" if whole else f"{amount:+.3g}").replace("-", "−")

    if effect["exact"] and "constant" in comparison:
        return number(effect["arm_mean"])
    text = f"× {one(value)}" if ratio else f"{one(value)} {unit(measure)}".strip()
    if not interval or effect["exact"]:
        return text
    return f"{text} (one pair)" if low is None else f"{text} ({one(low)} to {one(high)})"


def compared_text(effect: Effect) -> str:
    """What was compared with what: `max against average: test accuracy`."""
    one = effect["comparison"]
    measure = measure_text(one["measure"])
    if one.get("reference"):
        against = one["reference"]
    elif one.get("other"):
        against = measure_text(one["other"])
    else:
        against = value_text(one["constant"], one["measure"])
    return f"{measure}: {one['arm']} against {against}"


def measure_text(measure: str) -> str:
    """A measure's name for people.

    >>> measure_text("test_accuracy"), measure_text("size_c1")
    ('test accuracy', 'size c1')
    """
    return measure.replace("_", " ")


def verdict_text(claim: Claim) -> str:
    """The verdict: of one that depends, on what; which effects are smaller than what matters, and
    which undecided ones may be larger; whether seeds are missing."""
    word, effects = str(claim["verdict"]), claim["effects"]
    if word == "depends":
        verdicts = ("supported", "not supported", "contradicted", "not measured")
        where = {one: [e for e in effects if e["verdict"] == one] for one in verdicts}
        parts = [f"{one}: {_conditions(found)}" for one, found in where.items() if found]
        word = f"depends ({'; '.join(parts)})"
    word += size_text(effects)
    if claim["seeds_needed"] is not None:
        have = min((one["n"] for one in effects if not one["exact"]), default=0)
        needed = claim["seeds_needed"]
        more = f"{have} of {needed} seeds" if needed > have else "one seed"
        word += f"; underpowered: {more}"
    return word


def size_text(effects: Sequence[Effect]) -> str:
    """What to say of effects whose interval lies within the smallest that matters, and of undecided
    ones whose interval does not.

    >>> one = {"comparison": {"measure": "gap", "expect": "more", "margin": 0.01}, "exact": False}
    >>> small = one | {"low": 0.001, "high": 0.004, "verdict": "supported"}
    >>> wide = one | {"low": -0.001, "high": 0.04, "verdict": "not supported"}
    >>> size_text([small]), size_text([wide | {"verdict": "supported"}])
    ('; smaller than what matters', '')
    >>> size_text([wide])
    '; an effect that matters is not excluded'
    """
    small = [one for one in effects if _is_small(one)]
    wide = [one for one in effects if is_open(one)]
    text = ""
    if small and all(one["verdict"] == "not supported" for one in effects):
        text = "; an effect, if there is one, is smaller than what matters"
    elif small:
        text = "; smaller than what matters"
    text += "" if len(small) in (0, len(effects)) else f": {_conditions(small)}"
    if wide:
        text += "; an effect that matters is not excluded"
        text += "" if len(wide) == len(effects) else f": {_conditions(wide)}"
    return text


def is_open(effect: Effect) -> bool:
    """Whether an undecided effect may be what the claim says, and as large as one that matters.

    >>> one = {"comparison": {"measure": "gap", "expect": "more", "margin": 0.01}, "exact": False}
    >>> against = one | {"low": -0.02, "high": 0.001, "verdict": "not supported"}
    >>> is_open(against), is_open(against | {"high": 0.02})
    (False, True)
    """
    one, low, high = effect["comparison"], effect["low"], effect["high"]
    if effect["verdict"] != "not supported" or effect["exact"] or not one.get("margin"):
        return False
    if low is None or high is None:
        return True
    least, most = margins(one.get("kind", "difference"), one["margin"])
    ways = {"more": high >= most, "less": low <= least, "same": low <= least or high >= most}
    return bool(ways[one["expect"]])


def _conditions(effects: Sequence[Effect]) -> str:
    """Where effects were measured, in a few words each."""
    comparisons = [effect["comparison"] for effect in effects]
    return ", ".join(one.get("condition") or measure_text(one["measure"]) for one in comparisons)


def _is_small(effect: Effect) -> bool:
    one = effect["comparison"]
    margin, low, high = one.get("margin", 0.0), effect["low"], effect["high"]
    if effect["exact"] or one["expect"] == "same" or not margin or low is None or high is None:
        return False
    lowest, highest = margins(one.get("kind", "difference"), margin)
    return bool(lowest < low and high < highest)
