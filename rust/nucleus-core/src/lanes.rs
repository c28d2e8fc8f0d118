//! BLAKE3 of eight short, independent messages at once.
//!
//! Verification hashes millions of messages of a few blocks each. One such message leaves most of a vector unit idle:
//! its blocks depend on each other. Eight messages do not, so each 32-bit lane of a 256-bit register carries one of
//! them. Messages longer than one chunk (1,024 bytes), and machines without AVX2, go through the `blake3` crate; the
//! tests hold the two against each other.

use crate::digest::Hash;

/// Messages hashed together.
pub(crate) const LANES: usize = 8;
/// Longest message: one BLAKE3 chunk.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1024;

/// What a group of messages is hashed with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keying {
    /// The key words: the initialisation vector, or a context key.
    pub(crate) words: [u32; 8],
    /// Flags of every block, such as `DERIVE_KEY_MATERIAL`.
    pub(crate) flags: u32,
}

/// The initialisation vector (BLAKE3 specification, table 1).
pub(crate) const IV: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];
/// Flag of blocks in the second stage of key derivation.
pub(crate) const DERIVE_KEY_MATERIAL: u32 = 1 << 6;

/// Hashes a group of messages, each at most [`MAX_MESSAGE_BYTES`]; false where this machine cannot.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
pub(crate) fn hash_group(keying: &Keying, messages: &[&[u8]], hashes: &mut [Hash]) -> bool {
    if !std::arch::is_x86_feature_detected!("avx2") {
        return false;
    }
    // SAFETY: the one precondition of a function with a target feature is that the machine has it.
    unsafe { avx2::hash_group(keying, messages, hashes) };
    true
}

/// Other machines have no group hashing.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn hash_group(_keying: &Keying, _messages: &[&[u8]], _hashes: &mut [Hash]) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_blendv_epi8, _mm256_loadu_si256, _mm256_or_si256, _mm256_permute2x128_si256,
        _mm256_set1_epi32, _mm256_setr_epi8, _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32,
        _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32,
        _mm256_unpacklo_epi64, _mm256_xor_si256,
    };

    use super::{IV, Keying, LANES};
    use crate::digest::Hash;

    const BLOCK_BYTES: usize = 64;
    const CHUNK_START: u32 = 1;
    const CHUNK_END: u32 = 1 << 1;
    const ROOT: u32 = 1 << 3;

    /// The order of the message words in each of the seven rounds (BLAKE3 specification, section 2.2).
    const SCHEDULE: [[usize; 16]; 7] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8],
        [3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1],
        [10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6],
        [12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4],
        [9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7],
        [11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13],
    ];

    #[target_feature(enable = "avx2")]
    // A function with a target feature is no `Fn`; a closure inside one is.
    #[allow(clippy::redundant_closure)]
    pub(super) fn hash_group(keying: &Keying, messages: &[&[u8]], hashes: &mut [Hash]) {
        let mut chaining = keying.words.map(|word| splat(word));
        let blocks = |message: &[u8]| message.len().div_ceil(BLOCK_BYTES).max(1);
        let most_blocks = messages.iter().map(|message| blocks(message)).max().unwrap_or(0);
        for block in 0..most_blocks {
            let mut words = [[0_u8; BLOCK_BYTES]; LANES];
            let (mut lengths, mut flags, mut alive) = ([0_u32; LANES], [0_u32; LANES], [0_u32; LANES]);
            for (lane, message) in messages.iter().enumerate() {
                if block >= blocks(message) {
                    continue;
                }
                let rest = &message[block * BLOCK_BYTES..];
                let part = &rest[..rest.len().min(BLOCK_BYTES)];
                words[lane][..part.len()].copy_from_slice(part);
                lengths[lane] = part.len() as u32;
                let first = if block == 0 { CHUNK_START } else { 0 };
                let last = if rest.len() <= BLOCK_BYTES { CHUNK_END | ROOT } else { 0 };
                flags[lane] = keying.flags | first | last;
                alive[lane] = u32::MAX;
            }
            let next = compress(&chaining, &transpose_block(&words), load(&lengths), load(&flags));
            let alive = load(&alive);
            for (value, next) in chaining.iter_mut().zip(next) {
                *value = _mm256_blendv_epi8(*value, next, alive);
            }
        }
        let outputs = transpose(chaining).map(|vector| store(vector));
        for (hash, words) in hashes.iter_mut().zip(outputs) {
            for (bytes, word) in hash.0.chunks_exact_mut(4).zip(words) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
    }

    #[target_feature(enable = "avx2")]
    fn splat(word: u32) -> __m256i {
        _mm256_set1_epi32(word as i32)
    }

    #[target_feature(enable = "avx2")]
    fn load(words: &[u32; 8]) -> __m256i {
        // SAFETY: the array has the 32 bytes that are read; the load needs no alignment.
        unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    fn store(vector: __m256i) -> [u32; 8] {
        let mut words = [0; 8];
        // SAFETY: the array has the 32 bytes that are written; the store needs no alignment.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
        words
    }

    /// Word `i` of all lanes becomes vector `i`.
    #[target_feature(enable = "avx2")]
    fn transpose_block(blocks: &[[u8; BLOCK_BYTES]; LANES]) -> [__m256i; 16] {
        // SAFETY: each half of a block has the 32 bytes that are read; the load needs no alignment.
        let half = |offset: usize| unsafe {
            std::array::from_fn(|lane: usize| _mm256_loadu_si256(blocks[lane][offset..offset + 32].as_ptr().cast()))
        };
        let (low, high) = (transpose(half(0)), transpose(half(32)));
        let mut words = [low[0]; 16];
        words[..8].copy_from_slice(&low);
        words[8..].copy_from_slice(&high);
        words
    }

    /// Rows become columns in an 8 by 8 matrix of 32-bit words.
    #[target_feature(enable = "avx2")]
    fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
        let [a, b, c, d, e, f, g, h] = rows;
        let (ab0, ab1) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (cd0, cd1) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        let (ef0, ef1) = (_mm256_unpacklo_epi32(e, f), _mm256_unpackhi_epi32(e, f));
        let (gh0, gh1) = (_mm256_unpacklo_epi32(g, h), _mm256_unpackhi_epi32(g, h));
        let upper = [
            _mm256_unpacklo_epi64(ab0, cd0),
            _mm256_unpackhi_epi64(ab0, cd0),
            _mm256_unpacklo_epi64(ab1, cd1),
            _mm256_unpackhi_epi64(ab1, cd1),
        ];
        let lower = [
            _mm256_unpacklo_epi64(ef0, gh0),
            _mm256_unpackhi_epi64(ef0, gh0),
            _mm256_unpacklo_epi64(ef1, gh1),
            _mm256_unpackhi_epi64(ef1, gh1),
        ];
        let mut columns = rows;
        for index in 0..4 {
            columns[index] = _mm256_permute2x128_si256::<0x20>(upper[index], lower[index]);
            columns[index + 4] = _mm256_permute2x128_si256::<0x31>(upper[index], lower[index]);
        }
        columns
    }

    /// The compression function on all lanes (BLAKE3 specification, section 2.2); the block counter is 0.
    #[target_feature(enable = "avx2")]
    fn compress(chaining: &[__m256i; 8], words: &[__m256i; 16], lengths: __m256i, flags: __m256i) -> [__m256i; 8] {
        let zero = splat(0);
        let [a, b, c, d, e, f, g, h] = *chaining;
        let mut v = [
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            splat(IV[0]),
            splat(IV[1]),
            splat(IV[2]),
            splat(IV[3]),
            zero,
            zero,
            lengths,
            flags,
        ];
        for order in &SCHEDULE {
            mix(&mut v, [0, 4, 8, 12], words[order[0]], words[order[1]]);
            mix(&mut v, [1, 5, 9, 13], words[order[2]], words[order[3]]);
            mix(&mut v, [2, 6, 10, 14], words[order[4]], words[order[5]]);
            mix(&mut v, [3, 7, 11, 15], words[order[6]], words[order[7]]);
            mix(&mut v, [0, 5, 10, 15], words[order[8]], words[order[9]]);
            mix(&mut v, [1, 6, 11, 12], words[order[10]], words[order[11]]);
            mix(&mut v, [2, 7, 8, 13], words[order[12]], words[order[13]]);
            mix(&mut v, [3, 4, 9, 14], words[order[14]], words[order[15]]);
        }
        std::array::from_fn(|index| _mm256_xor_si256(v[index], v[index + 8]))
    }

    /// The quarter round.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn mix(v: &mut [__m256i; 16], [a, b, c, d]: [usize; 4], x: __m256i, y: __m256i) {
        v[a] = _mm256_add_epi32(_mm256_add_epi32(v[a], v[b]), x);
        v[d] = rotate_16(_mm256_xor_si256(v[d], v[a]));
        v[c] = _mm256_add_epi32(v[c], v[d]);
        v[b] = rotate::<12, 20>(_mm256_xor_si256(v[b], v[c]));
        v[a] = _mm256_add_epi32(_mm256_add_epi32(v[a], v[b]), y);
        v[d] = rotate_8(_mm256_xor_si256(v[d], v[a]));
        v[c] = _mm256_add_epi32(v[c], v[d]);
        v[b] = rotate::<7, 25>(_mm256_xor_si256(v[b], v[c]));
    }

    /// Each word rotated to the right; `LEFT` is 32 less `RIGHT`.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn rotate<const RIGHT: i32, const LEFT: i32>(vector: __m256i) -> __m256i {
        _mm256_or_si256(_mm256_srli_epi32::<RIGHT>(vector), _mm256_slli_epi32::<LEFT>(vector))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn rotate_16(vector: __m256i) -> __m256i {
        let order = _mm256_setr_epi8(
            2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13,
        );
        _mm256_shuffle_epi8(vector, order)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn rotate_8(vector: __m256i) -> __m256i {
        let order = _mm256_setr_epi8(
            1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12,
        );
        _mm256_shuffle_epi8(vector, order)
    }
}
