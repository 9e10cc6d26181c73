//! SHA-256 (FIPS 180-4), to compare with what the peer says it got.

fn root(prime: u64, power: f64) -> u32 {
    // 53 bits of a root below 8 hold the first 32 bits of its fraction.
    let root = (prime as f64).powf(power);
    ((root - root.floor()) * 4294967296.0) as u32
}

fn primes() -> impl Iterator<Item = u64> {
    (2..).filter(|number| (2..*number).all(|divisor| number % divisor != 0))
}

fn block(state: &mut [u32; 8], constants: &[u32], bytes: &[u8]) {
    let mut words: Vec<u32> = bytes
        .chunks(4)
        .map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    for i in 16..64 {
        let (a, b) = (words[i - 15], words[i - 2]);
        let first = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
        let second = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
        let sum = words[i - 16].wrapping_add(first).wrapping_add(words[i - 7]);
        words.push(sum.wrapping_add(second));
    }
    let mut v = *state;
    for i in 0..64 {
        let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
        let choice = (v[4] & v[5]) ^ (!v[4] & v[6]);
        let sum = v[7].wrapping_add(s1).wrapping_add(choice);
        let one = sum.wrapping_add(constants[i]).wrapping_add(words[i]);
        let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
        let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        v.rotate_right(1);
        v[4] = v[4].wrapping_add(one);
        v[0] = one.wrapping_add(s0).wrapping_add(majority);
    }
    for (word, value) in state.iter_mut().zip(v) {
        *word = word.wrapping_add(value);
    }
}

pub fn hex(data: &[u8]) -> String {
    let constants: Vec<u32> = primes().take(64).map(|prime| root(prime, 1.0 / 3.0)).collect();
    let mut state = [0; 8];
    for (word, prime) in state.iter_mut().zip(primes()) {
        *word = root(prime, 0.5);
    }
    let mut rest = data[data.len() / 64 * 64..].to_vec();
    rest.push(0x80);
    while rest.len() % 64 != 56 {
        rest.push(0);
    }
    rest.extend((data.len() as u64 * 8).to_be_bytes());
    data.chunks_exact(64).chain(rest.chunks(64)).for_each(|bytes| {
        block(&mut state, &constants, bytes);
    });
    state.iter().map(|word| format!("{:08x}", word)).collect()
}
