"""Direction numbers of Sobol sequences from the table of Joe and Kuo, `joe_kuo.bin`.

The table is "new-joe-kuo-6.21201" of https://web.maths.unsw.edu.au/~fkuo/sobol/, from S. Joe and F. Y. Kuo,
"Constructing Sobol sequences with better two-dimensional projections", SIAM J. Sci. Comput. 30, 2635-2654 (2008);
its licence is in `joe_kuo.LICENSE`. `python -m flambeau._quasirandom TEXT OUT` packs the published text.

Polynomials over two elements are integers, the highest power first, and ascend from dimension to dimension, all odd:
a byte holds half of each step. Of the initial numbers, m_i is odd and below 2^i, so that i - 1 bits hold it.
"""

import functools
import pathlib

import numpy as np

DIMENSIONS, BITS = 21201, 30
_FILE = pathlib.Path(__file__).with_name("joe_kuo.bin")


@functools.cache
def _table():
    """Polynomials of the dimensions after the first, their degrees, and where each one's bits begin."""
    data = np.fromfile(_FILE, np.uint8)
    polynomials = 1 + 2 * np.cumsum(data[: DIMENSIONS - 1].astype(np.int64))
    degrees = np.frexp(polynomials)[1].astype(np.int64) - 1
    ends = np.cumsum(degrees * (degrees - 1) // 2)
    return polynomials, degrees, ends, data[DIMENSIONS - 1 :]


def directions(dimension):
    """The direction numbers of the first dimensions, (dimension, 30), as multiples of 2^-30."""
    numbers = np.ones((dimension, BITS), np.int64)
    *columns, packed = _table()
    polynomials, degrees, ends = (column[: dimension - 1] for column in columns)
    used = (ends.max(initial=0) + 7) // 8
    bits = np.unpackbits(packed[:used], bitorder="little").astype(np.int64)
    for degree in np.unique(degrees):
        rows = np.nonzero(degrees == degree)[0]
        m = np.ones((BITS, len(rows)), np.int64)
        place = ends[rows] - degree * (degree - 1) // 2
        for i in range(1, degree):
            for bit in range(i):
                m[i] |= bits[place + bit] << (bit + 1)
            place = place + i
        for j in range(degree, BITS):
            m[j] = m[j - degree]
            for k in range(1, degree + 1):
                m[j] ^= (polynomials[rows] >> (degree - k) & 1) * m[j - k] << k
        numbers[rows + 1] = m.T
    return numbers << np.arange(BITS - 1, -1, -1)


def pack(text):
    """The bytes of `joe_kuo.bin` from the published text: a heading, then rows of d, s, a, m_1, ..., m_s."""
    rows = [[int(word) for word in line.split()] for line in text.splitlines()[1:] if line.strip()]
    polynomials = np.array([1] + [1 << s | a << 1 | 1 for _, s, a, *_ in rows])
    steps = np.diff(polynomials) // 2
    assert len(rows) == DIMENSIONS - 1 and steps.min() > 0 and steps.max() < 256
    bits = [m >> bit & 1 for _, _, _, *ms in rows for i, m in enumerate(ms) for bit in range(1, i + 1)]
    return steps.astype(np.uint8).tobytes() + np.packbits(bits, bitorder="little").tobytes()
