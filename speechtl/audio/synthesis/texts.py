"""Texts to be spoken for the training of a recogniser: many sounds in many orders, and little language to learn by heart.

Sentences of a grammar, random words, words that do not exist, numbers, spelled letters, names and commands, from one word to
twelve. Texts are lower-case letters, apostrophes and single spaces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache

import numpy as np
from num2words import num2words

from speechtl.audio.synthesis.sentences import WORDS, choose, contains_phrase, listed, plain, sentences
from speechtl.errors import SpeechtlError

# A vowel is short before a doubled consonant or a cluster and long as a pair of letters; spellings that are said in two ways are
# left out (`ow`, `ea`, `oo` before other letters than these, `g` and `c` before e, i and y).
ONSETS = listed(
    "b bl br ch d dr f fl fr h j k kl kr l m n p pl pr r s sh shr sk sl sm sn sp spl spr st str sw t th thr tr v w y z b d f j l m n "
    "p r s sh t v w z ch th y"
)
HARD_ONSETS = listed("g gl gr c cl cr scr")  # before a and o
ROUND_ONSETS = listed("qu tw")  # before e and i
RIMES = listed(
    "ab ack ad aff ag all am an and ang ank ant ap ash ass at atch ax eb eck ed eff egg ell elp em en ench end ent ep ess est et "
    "etch ib ick id iff ig ill ilk im imp in ing ink int ip ish iss ist it itch ix ob ock odd off og omp on ond ong op osh oss ot otch "
    "ox ub uck ud uff ug um ump un unch und ung unk up ush uss ust ut utch ull ook oom oon oop oot ool ooth eed eek eel eem een eep "
    "eet eeve eech eeze aid ail aim ain aint aze ake ate ave ape ame ade ide ife ike ile ime ine ipe ite ive ize ight oad oak oam oast "
    "oat oach obe ode oke ole ome one ope ote oze ule ume une ute oy oyd oil oin oint oist oud out ound ouse ouch oun awk awl awn aud "
    "ar ark arm arn art arch arge ard erb erk erm ern ert erge irt irl irth orb ork orm orn ort orch ord eer ire ay ee igh ew"
)
MIDDLES = listed(
    "abb addle agg amm ann app att ebb edd ell emm enn ett ibb idd iff igg ill imm inn ipp itt obb odd off ogg oll omm onn opp ott ubb "
    "udd uff ugg ull umm unn upp utt aider ailer eeder eemer eeter oaler oader oiler oyer ander anker ender enter inger inker umber "
    "under other ather ither arter orter erver aser owder ounder izer iner ater over oper ooder uter"
)
SHORT_MIDDLES = 40  # the first ones, with a doubled consonant
ENDINGS = listed("er y ing ed le ow ish on en ic et id in el al or us ly ness ment ful less ship age est dom ward")
ABSTRACT = listed("ation ition usion asion ision esion asure eature icture ension action ection iction uction igious acious")


def pseudo_word(random: np.random.Generator) -> str:
    """Return a word of one to three syllables; now and then it is one that does exist."""
    kind = random.random()
    if kind < 0.45:
        return _syllable(random)
    if kind < 0.75:
        middle = choose(random, MIDDLES)
        return _onset(random, middle) + middle + ("" if middle.endswith("er") else choose(random, ENDINGS))
    if kind < 0.9:
        return _syllable(random) + _syllable(random)
    start = choose(random, MIDDLES[:SHORT_MIDDLES]) if random.random() < 0.5 else ""
    end = choose(random, ABSTRACT)
    return _onset(random, start or end) + start + end


def _syllable(random: np.random.Generator) -> str:
    rime = choose(random, RIMES)
    return _onset(random, rime) + rime


def _onset(random: np.random.Generator, rime: str) -> str:
    hard = random.random() < 0.15
    if hard and rime[0] in "ao":
        return choose(random, HARD_ONSETS)
    if hard and rime[0] in "ei":
        return choose(random, ROUND_ONSETS)
    return choose(random, ONSETS)


def in_words(number: int, kind: str = "cardinal") -> str:
    """A number as `cardinal`, `ordinal` or `year`, such as `two hundred and six`, `twenty first` or `nineteen oh four`."""
    words: str = num2words(number, to=kind)
    return words.replace(",", "").replace("-", " ")


def random_number(random: np.random.Generator) -> str:
    """A number said in one of these ways, with as many digits as people say."""
    way = int(random.integers(6))
    if way == 0:
        return in_words(int(random.integers(10 ** int(random.integers(1, 7)))))
    if way == 1:
        return " ".join(in_words(int(digit)) for digit in random.integers(10, size=int(random.integers(2, 9))))
    if way == 2:
        return in_words(int(random.integers(1100, 2000)), "year")
    if way == 3:
        return f"{in_words(int(random.integers(1, 13)))} {in_words(int(random.integers(10, 60)))}"
    if way == 4:
        return in_words(int(random.integers(1, 100)), "ordinal")
    return f"{in_words(int(random.integers(100)))} point {in_words(int(random.integers(10)))}"


LONGEST = 12  # words in a sequence of random ones

LETTERS = "bcdefghijklmnopqrstuvwxy"  # without a, which is also a word, and z, which Britons call another name
NAMES = listed(
    "adam alan albert alfred andrew angela anna anthony arthur barbara benjamin brian carlos caroline catherine christopher daniel "
    "david deborah dennis diana donald dorothy douglas edward eleanor elizabeth emily eric eva fatima frances frank frederick gary "
    "george gloria gordon grace hannah harold harry heather helen henry howard ian isaac isabel ivan jack jacob james janet jason "
    "jeffrey jennifer jessica joan john jonathan joseph julia karen keith kevin kimberly larry laura lawrence leonard linda lisa "
    "louis lucy margaret maria mark mary matthew megan michael mohammed monica nancy naomi natalie nathan nicholas nicole nigel nora "
    "oliver olivia oscar pamela patrick paul peter philip rachel ralph rebecca richard robert roger rosemary russell ruth samuel "
    "sandra sarah scott sharon simon sophia stephen steven susan sylvia teresa thomas timothy tracy ursula valerie vincent virginia "
    "walter william baker bradley campbell carter clark collins cooper davies edwards evans fisher foster graham griffin hamilton "
    "harrison hughes jackson jenkins johnson kelly kennedy lewis marshall mason mitchell morgan murphy nelson parker peterson "
    "phillips richardson roberts robinson rogers simpson stewart sullivan taylor thompson turner walker watson wilson wright young "
    "africa america asia australia berlin boston brazil california canada chicago china denmark dublin edinburgh egypt england europe "
    "finland france germany greece hungary india ireland italy japan kenya london madrid mexico moscow norway paris poland portugal "
    "rome russia scotland singapore spain sweden sydney texas tokyo turkey vienna"
)
ACTIONS = (
    *("turn on", "turn off", "switch on", "switch off", "open", "start", "stop", "play", "pause", "show me", "find", "check"),
    *("call", "change", "set", "bring me", "tell me about", "lock", "unlock", "move", "delete", "save", "remind me of", "dim"),
)
OBJECTS = (
    *("the light", "the lights", "the radio", "the heating", "the door", "the garage", "the window", "the timer", "the alarm", "the fan"),
    *("the music", "the next song", "the volume", "my messages", "the weather", "the news", "the calendar", "a taxi", "the oven"),
    *("the television", "the channel", "my shopping list", "the last page", "the kitchen", "the bedroom", "the hall", "everything"),
)
SHORT = (
    *("yes", "no", "okay", "stop", "go", "up", "down", "left", "right", "on", "off", "hello", "goodbye", "thank you", "please", "louder"),
    *("quieter", "again", "back", "next", "help", "wait", "never mind", "good morning", "good night", "what time is it", "how are you"),
    *("go back", "come here", "not now", "say that again", "volume up", "volume down", "wake up", "hurry up", "of course", "all right"),
)

_SPOKEN = re.compile(r"[a-z]+(?:'[a-z]+)*")


def spoken_texts(random: np.random.Generator, words: Collection[str] = (), without: Sequence[str] = ()) -> Iterator[str]:
    """Yield texts without end; `words` is a vocabulary to draw from, and no text contains one of the phrases `without`.

    The order of `words` does not matter; those with other signs than letters and apostrophes are left out. Raises `SpeechtlError`
    when none of them can be used, or when nearly every sentence would contain a phrase.
    """
    vocabulary = usable_words(words, without)
    if words and not vocabulary:
        raise SpeechtlError("None of the words can be used: give words of letters a to z that contain none of the phrases to leave out.")
    kinds = _kinds(random, vocabulary, without)
    shares = np.cumsum([share for share, _ in kinds])
    while True:
        yield _text_without(random, kinds, shares / shares[-1], without)


def single_words(random: np.random.Generator, vocabulary: Sequence[str]) -> Iterator[str]:
    """Yield words of a vocabulary without end, all equally often in the long run."""
    while True:
        yield choose(random, vocabulary)


def usable_words(words: Collection[str], without: Sequence[str] = ()) -> list[str]:
    """Return the words that can be spoken and contain no phrase, in lower case, each once, sorted."""
    return list(_usable(frozenset(words), tuple(without)))


@lru_cache(maxsize=4)  # every shard of a corpus asks for the same
def _usable(words: frozenset[str], without: tuple[str, ...]) -> tuple[str, ...]:
    lowered = sorted({word.lower().replace("\u2019", "'") for word in words})
    return tuple(word for word in lowered if _SPOKEN.fullmatch(word) and not contains_phrase(word, without))


_Kind = tuple[float, Callable[[], str]]  # a share of the texts, not yet divided by the sum of all


def _kinds(random: np.random.Generator, vocabulary: Sequence[str], without: Sequence[str]) -> list[_Kind]:
    grammar = sentences(random, without)
    names = [*NAMES, *map(plain, WORDS["name"])]
    kinds: list[_Kind] = [
        (0.15, lambda: plain(next(grammar))),
        (0.18, lambda: _sequence(random, lambda: pseudo_word(random), 6)),
        (0.07, lambda: random_number(random)),
        (0.03, lambda: _sequence(random, lambda: choose(random, LETTERS), 6)),
        (0.05, lambda: _sequence(random, lambda: choose(random, names), 4)),
        (0.05, lambda: f"{choose(random, ACTIONS)} {choose(random, OBJECTS)}"),
        (0.02, lambda: choose(random, SHORT)),
    ]
    if vocabulary:
        kinds.append((0.35, lambda: _sequence(random, lambda: choose(random, vocabulary), LONGEST)))
        kinds.append((0.10, lambda: _sequence(random, lambda: _mixed(random, vocabulary), 8)))
    return kinds


def _text_without(random: np.random.Generator, kinds: Sequence[_Kind], shares: np.ndarray, without: Sequence[str]) -> str:
    while True:  # the grammar complains when the phrases are everywhere
        text = kinds[int(np.searchsorted(shares, random.random(), side="right"))][1]()
        if not contains_phrase(text, without):
            return text


def _mixed(random: np.random.Generator, vocabulary: Sequence[str]) -> str:
    return pseudo_word(random) if random.random() < 0.3 else choose(random, vocabulary)


def _sequence(random: np.random.Generator, word: Callable[[], str], longest: int) -> str:
    """Return one word in a third of the cases, else up to `longest`."""
    count = 1 if random.random() < 1 / 3 else int(random.integers(2, longest + 1))
    return " ".join(word() for _ in range(count))
