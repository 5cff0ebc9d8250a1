"""Clip names and lengths of the usual test sets, and digests of their frame labels, to recognise lists of numbers.

Only counts and digests are kept here, no labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

INVERTED = ", inverted (1 is normal)"


@dataclass(frozen=True)
class KnownSet:
    """A test set: ``clips`` in the order of lists, their ``lengths``, and what its labels are called.

    ``digests[k]`` belongs to the labels with the first k frames of every clip left out.
    """

    dataset: str
    labels: str
    clips: tuple[str, ...]
    lengths: tuple[int, ...]
    digests: tuple[str, ...]


def same_lengths(lengths: Sequence[int]) -> tuple[KnownSet, int] | None:
    """Return the set whose clips have these lengths, or would have if each had k more frames at its start; and k."""
    for known in KNOWN:
        if len(lengths) == len(known.lengths):
            lacking = {full - given for full, given in zip(known.lengths, lengths, strict=True)}
            if len(lacking) == 1 and 0 <= (k := lacking.pop()) < len(known.digests):
                return known, k
    return None


def same_total(total: int) -> tuple[KnownSet, int] | None:
    """Return the set that has so many frames in all, or would have if each clip had k more; and the smallest such k."""
    fits = [
        (k, known)
        for known in KNOWN
        for k in range(len(known.digests))
        if sum(known.lengths) - k * len(known.lengths) == total
    ]
    return (min(fits, key=lambda fit: fit[0])[1], min(k for k, _ in fits)) if fits else None


def recognise(labels: Sequence[np.ndarray]) -> str | None:
    """Return what the labels of all clips are, if they are known, inverted or not: ``bool (T,)`` each, in order."""
    if not labels or (fit := same_lengths([len(y) for y in labels])) is None:
        return None
    dataset, k = fit[0].dataset, fit[1]
    lacking = f" without the first {k} frames of every clip" if k else ""
    for inverted in (False, True):
        digest = label_bits_digest([~y if inverted else y for y in labels])
        for known in KNOWN:
            if known.digests[k] == digest:
                return known.labels + lacking + (INVERTED if inverted else "")
    return f"clip lengths of {dataset}{lacking}, but not its official labels"


def label_bits_digest(labels: Sequence[np.ndarray]) -> str:
    """Ten hex digits over the labels of all clips end to end."""
    return hashlib.sha256(np.packbits(np.concatenate(labels)).tobytes()).hexdigest()[:10]


def _known(dataset: str, labels: str, clips: str, lengths: str, digests: str) -> KnownSet:
    return KnownSet(
        dataset, labels, tuple(clips.split()), tuple(int(n) for n in lengths.split()), tuple(digests.split())
    )


_UCSD_PED2_CLIPS = "01 02 03 04 05 06 07 08 09 10 11 12 "
_UCSD_PED2_LENGTHS = "180 180 150 180 150 180 180 180 120 150 180 180 "
_AVENUE_CLIPS = "01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20 21 "
_AVENUE_LENGTHS = "1439 1211 923 947 1007 1283 605 36 1175 841 472 1271 549 507 1001 740 426 294 248 273 76 "
_SHANGHAITECH_CLIPS = (
    "01_0014 01_0015 01_0016 01_0025 01_0026 01_0027 01_0028 01_0029 01_0030 01_0051 01_0052 01_0053 "
    "01_0054 01_0055 01_0056 01_0063 01_0064 01_0073 01_0076 01_0129 01_0130 01_0131 01_0132 01_0133 "
    "01_0134 01_0135 01_0136 01_0138 01_0139 01_0140 01_0141 01_0162 01_0163 01_0177 02_0128 02_0161 "
    "02_0164 03_0031 03_0032 03_0033 03_0035 03_0036 03_0039 03_0041 03_0059 03_0060 03_0061 04_0001 "
    "04_0003 04_0004 04_0010 04_0011 04_0012 04_0013 04_0046 04_0050 05_0017 05_0018 05_0019 05_0020 "
    "05_0021 05_0022 05_0023 05_0024 06_0144 06_0145 06_0147 06_0150 06_0153 06_0155 07_0005 07_0006 "
    "07_0007 07_0008 07_0009 07_0047 07_0048 07_0049 08_0044 08_0058 08_0077 08_0078 08_0079 08_0080 "
    "08_0156 08_0157 08_0158 08_0159 08_0178 08_0179 09_0057 10_0037 10_0038 10_0042 10_0074 10_0075 "
    "11_0176 12_0142 12_0143 12_0148 12_0149 12_0151 12_0152 12_0154 12_0173 12_0174 12_0175 "
)
_SHANGHAITECH_LENGTHS = (
    "265 433 337 601 505 409 457 313 409 337 337 457 577 313 529 193 289 289 265 241 337 289 265 217 433 "
    "409 529 313 217 241 313 193 265 317 457 337 361 529 409 313 385 457 481 457 433 385 241 553 937 865 "
    "505 313 361 361 529 337 433 481 649 649 409 337 769 433 241 217 265 265 217 265 409 385 481 457 313 "
    "601 241 481 313 337 457 217 241 289 337 313 337 265 265 337 361 433 241 433 601 505 337 601 265 313 "
    "241 289 361 385 217 337 265 "
)

KNOWN = (
    _known(
        "ucsd_ped2",
        "the official labels of UCSD Ped2 (1,648 of 2,010 frames)",
        _UCSD_PED2_CLIPS,
        _UCSD_PED2_LENGTHS,
        "3ffb2e1a94 08f21158b5 4773cb5022 9281ce11f2 d5c891bf46 924ac73a8d 3ad06e2876 11c610a416 0410ca1915 "
        "24bc2f8c08 d6ad6a72d9 4cdd3849b0 2c6a6ac731 263b30f6a9 4331d00298 443bf3b501 20e5f1731d ",
    ),
    _known(
        "ucsd_ped1",
        "the official labels of UCSD Ped1 (4,045 of 7,200 frames)",
        " ".join(f"{clip:02d}" for clip in range(1, 37)),
        "200 " * 36,
        "779a74405a 9d20f3e3d5 d9e3edce9c 9ba1525550 0c298e98e5 ce5e84267b a3a9008b57 4b48b5470c 9e3a4e6191 "
        "1c611b7e12 868f5de21d 8b16f4e43a ee9de11cbd 51ec815f02 d3796e45b8 3ac2d345f7 cb00196191 ",
    ),
    _known(
        "avenue",
        "Avenue labels from the official masks (3,712 of 15,324 frames)",
        _AVENUE_CLIPS,
        _AVENUE_LENGTHS,
        "dd5b1dd35e 02ec6721a9 a6aed19123 c2a5a6264e 123b525978 96ddef6066 1b6618ceb5 a8aa82b3f8 34eac241b2 "
        "56f8819347 7bdfa02d5c 020e11ce69 c18eca940c 87d186d754 b2c3be47ba 74e4edccbc d1ba47d93d ",
    ),
    _known(
        "shanghaitech",
        "the official labels of ShanghaiTech (17,326 of 40,791 frames)",
        _SHANGHAITECH_CLIPS,
        _SHANGHAITECH_LENGTHS,
        "c49e865c9a f2dcb93877 f7d7d77d4f 3b19578657 a253b906fe d62e720cc7 8179c39b2c 3631ae7a42 199a016e0d "
        "6738345e49 01454a1c06 cac8fee5ab 05dc2d5e21 2bf53647f4 d0d5657cb7 e72b856066 de51c7aec1 ",
    ),
    _known(
        "avenue",
        "the redistributed labels of Avenue (3,867 frames, where the official masks have 3,712; 2.9% differ)",
        _AVENUE_CLIPS,
        _AVENUE_LENGTHS,
        "c9decee3b8 a3a3726327 cfbc4fadbd d7ea6424f2 30de1917b8 fe8c9368e5 7efbf67a39 dd6f9313d8 e782e7b572 "
        "1b36a1d8c4 404d6b768c d5cc4c79eb 937688569b 4d62e981cd ee6df1637b be3f70ca65 c496a2d533 ",
    ),
)
"""Every set that is known."""
