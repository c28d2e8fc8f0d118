//! Order-free sums over look-up index rows: two sets of rows are equal when their sums are, whatever order they are
//! read in. Whether an index finds its rows depends on their order too: whoever reads it checks that, row by row.

use std::ops::AddAssign;

/// Secret multipliers, drawn anew for every verification, so that nobody can prepare rows that cancel out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SumKey(pub [u64; 4]);

/// The sum over a set of `(prefix, seq)` rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IndexSum {
    rows: u64,
    sum: u128,
}

impl IndexSum {
    /// Adds one row.
    pub(crate) fn add(&mut self, key: &SumKey, prefix: i64, seq: i64) {
        self.add_digest(key, [prefix as u64; 2], seq);
    }

    /// Adds one row whose key has two independent, secret digests.
    pub(crate) fn add_digest(&mut self, key: &SumKey, [first, second]: [u64; 2], seq: i64) {
        let [a, b, c, d] = key.0;
        let low = multiply_fold(first ^ a, seq as u64 ^ b);
        let high = multiply_fold(second ^ c, seq as u64 ^ d);
        self.rows += 1;
        self.sum = self.sum.wrapping_add(u128::from(high) << 64 | u128::from(low));
    }
}

impl AddAssign for IndexSum {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// Both halves of a 128-bit product, mixed twice: a change of any input bit reaches every output bit.
fn multiply_fold(a: u64, b: u64) -> u64 {
    let fold = |x: u64, y: u64| {
        let product = u128::from(x).wrapping_mul(u128::from(y));
        (product as u64) ^ (product >> 64) as u64
    };
    fold(fold(a, 0x9E37_79B9_7F4A_7C15) ^ b, 0xD6E8_FEB8_6659_FD93)
}
