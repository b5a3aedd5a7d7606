"""Words that do not exist, made of English syllables in ordinary spelling, so that a synthesiser says them as one would expect."""

from __future__ import annotations

import numpy as np

from speechtl.audio.synthesis.sentences import choose, listed

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
