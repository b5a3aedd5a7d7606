"""Sentences to read aloud, written for this purpose (CC0-1.0), for recordings without the word."""

from __future__ import annotations

from collections.abc import Sequence

from speechtl.audio.phrases import contains

WORDS_READ = 150  # in a minute

SENTENCES = (
    "The bus was late again, so we walked along the river and counted the boats.",
    "Please put the blue cups on the top shelf and the plates beside the sink.",
    "Nobody at the market knew where the old man with the accordion had gone.",
    "She bought two kilos of onions, a lemon, and far too much bread.",
    "If it rains on Thursday, we will move the table into the garage.",
    "My brother keeps bees behind the house, and in June he gives us honey.",
    "The train to the coast leaves at a quarter past seven from platform nine.",
    "Have you ever tried to fold a fitted sheet without anyone helping you?",
    "A thick fog lay over the fields, and somewhere a dog was barking.",
    "They painted the kitchen yellow, which made the whole flat feel warmer.",
    "In the evening the children drew dragons with chalk on the pavement.",
    "Turn left at the church, go past the chemist, and ring the second bell.",
    "The teacher explained volcanoes with vinegar, soda and a cardboard cone.",
    "I cannot find my glasses, my keys, or the letter from the bank.",
    "Fresh snow squeaks under your boots when it is really cold outside.",
    "What did the doctor say about your knee after the last visit?",
    "We had soup, roast potatoes, and a pudding that nobody could finish.",
    "His grandmother knits socks in every colour except the one he likes.",
    "The orchestra tuned for ten minutes, and then the lights went out.",
    "Take the stairs if the lift smells of paint, and mind the wet floor.",
    "A cyclist waved, shouted something cheerful, and vanished around the bend.",
    "Every spring the swallows come back to the same beam in the barn.",
    "The judge listened quietly, wrote three lines, and closed the thick folder.",
    "You can keep the umbrella, since I have another one in the car.",
    "Our neighbour plays chess by post with a friend in Portugal.",
    "Half of the tomatoes were green, so she wrapped them in newspaper.",
    "The film was two hours long, but it felt like twenty minutes.",
    "Quick showers, high voices, zebra crossings: all of them turned up in the poem.",
    "Yesterday the shop sold out of batteries, candles and drinking water.",
    "Would you rather fly over the mountains or sail around the cape?",
    "He measured the window twice and still cut the curtain too short.",
    "The museum is closed on Mondays, as we learned standing before its door.",
)


def to_read(phrases: Sequence[str], turn: int = 0) -> list[str]:
    """Sentences for a minute that do not contain one of the phrases, other ones at every turn."""
    usable = [sentence for sentence in SENTENCES if not contains(sentence, phrases)]
    chosen: list[str] = []
    index = turn * 13
    while sum(len(sentence.split()) for sentence in chosen) < WORDS_READ:
        chosen.append(usable[index % len(usable)])
        index += 1
    return chosen
