"""The eight kinds of the pocket world: their looks, how they move, their words, and the traits that no word tells."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of object: outline, hue, motion and the words for it and for its sound."""

    name: str
    outline: str
    hue_deg: float
    colour: str
    motion: str  # "bounce", "kick_x", "kick_y", "stretch", "flash", "roll" or "spin"
    continuous: bool  # sounds for as long as it runs, not once per event
    doing: str  # "bouncing"
    sounds: tuple[str, ...]  # how a listener would name the sound


@dataclass(frozen=True)
class Traits:
    """What is seen and heard of one object and never said: each 0..1, alike in every event of a clip."""

    size: float  # large is low
    hardness: float  # shines, and strikes brightly
    force: float  # moves far or fast, and is loud


KINDS: tuple[Kind, ...] = (
    Kind("ball", "disc", 0.0, "red", "bounce", False, "bouncing", ("low thuds", "soft thumps", "a dull thumping sound")),
    Kind(
        "bell",
        "triangle",
        45.0,
        "orange",
        "kick_x",
        False,
        "ringing",
        ("bright chimes", "metal ringing", "clear ringing tones"),
    ),
    Kind(
        "shaker",
        "ellipse",
        90.0,
        "lime",
        "kick_x",
        False,
        "shaking",
        ("a high rattle", "sandy rattling", "short hissing rattles"),
    ),
    Kind(
        "spring",
        "star",
        135.0,
        "green",
        "stretch",
        False,
        "twanging",
        ("a rising twang", "boings", "a sound that slides upwards"),
    ),
    Kind("horn", "dome", 180.0, "cyan", "flash", False, "honking", ("honks", "steady toots", "a loud held note")),
    Kind(
        "engine", "wheel", 225.0, "blue", "roll", True, "rumbling", ("a low chugging buzz", "a motor running", "deep rumbling")
    ),
    Kind(
        "block",
        "square",
        270.0,
        "purple",
        "kick_y",
        False,
        "knocking",
        ("dry knocks", "short woody clicks", "a sharp knocking sound"),
    ),
    Kind("fan", "cross", 315.0, "pink", "spin", True, "whirring", ("fluttering air", "a windy whirr", "pulsing air noise")),
)

KIND_NAMES: tuple[str, ...] = tuple(kind.name for kind in KINDS)

AMBIGUOUS_CAPTIONS: tuple[str, ...] = (
    "something making a sound",
    "an object making a sound",
    "a sound",
    "something is happening",
    "something moving and making noise",
    "a thing that makes noise",
    "an object in a room",
    "noise from something",
)


def kind_index(name: str) -> int:
    """Position of a kind in KINDS."""
    return KIND_NAMES.index(name)


def article(word: str) -> str:
    """The word with its indefinite article."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def precise_captions(kind: Kind) -> tuple[str, ...]:
    """Captions that name the kind, its colour or its action."""
    thing = f"{kind.colour} {kind.name}"
    return (
        f"{article(thing)} {kind.doing}",
        f"{article(kind.name)} {kind.doing}",
        f"{article(thing)} is {kind.doing} and makes {kind.sounds[0]}",
        f"the sound of {article(thing)} {kind.doing}",
        f"{kind.sounds[1]} of {article(kind.name)}",
        f"{article(thing)} {kind.doing} with {kind.sounds[2]}",
        f"{kind.name} {kind.doing}, {kind.sounds[0]}",
    )


def partial_captions(kind: Kind) -> tuple[str, ...]:
    """Captions with one clue only: the noun, the colour, the action or the sound."""
    return (
        article(kind.name),
        f"{article(kind.colour)} thing",
        f"something {kind.doing}",
        kind.sounds[0],
        kind.sounds[1],
        kind.sounds[2],
        f"the {kind.name}",
        f"something {kind.colour}",
    )
