"""Numbers in English words and in digits, as sequences of ids of one length."""

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

SMALL = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
WORDS = ["", *SMALL, *TENS, "hundred", "thousand", "and"]
PLACES, START, END = 6, 10, 11
SIGNS = [*map(str, range(10)), "start", "end"]


def spelled(n):
    """The words of a number below a million: 1042 is one thousand and forty-two."""
    if n < 20:
        return [SMALL[n]]
    if n < 100:
        return [TENS[n // 10 - 2], *(spelled(n % 10) if n % 10 else [])]
    unit, name = (100, "hundred") if n < 1000 else (1000, "thousand")
    rest = n % unit
    words = [*spelled(n // unit), name]
    return words + (["and"] if 0 < rest < 100 else []) + (spelled(rest) if rest else [])


def sequences(numbers):
    """Ids of the words, padded, how many there are, and ids of start, digits and ends."""
    texts = [spelled(n) for n in numbers]
    lengths = np.array([len(words) for words in texts])
    source = np.zeros((len(texts), lengths.max()), int)
    target = np.full((len(texts), PLACES + 2), END)
    target[:, 0] = START
    for i, (words, n) in enumerate(zip(texts, numbers, strict=True)):
        source[i, : len(words)] = [WORDS.index(word) for word in words]
        target[i, 1 : len(str(n)) + 1] = [int(digit) for digit in str(n)]
    return source, lengths, target


def text(source, target):
    """The words of a source, and the digits of a target."""
    return [WORDS[i] for i in source], [SIGNS[i] for i in target]


def logistic_regression(numbers, test):
    """How many of the first `test` numbers it reads from counts of words and of their pairs.

    It is fitted to the rest, once for each place of a digit.
    """
    texts = [" ".join(spelled(n)) for n in numbers]
    counts = CountVectorizer(ngram_range=(1, 2)).fit(texts[test:]).transform(texts)
    right = np.ones(test, bool)
    for place in 10 ** np.arange(PLACES):
        digit = numbers // place % 10
        model = LogisticRegression(max_iter=200).fit(counts[test:], digit[test:])
        right &= model.predict(counts[:test]) == digit[:test]
    return right.mean()
