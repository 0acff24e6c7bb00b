//! Numbers of variable length, as pages have them.

/// Most bytes of a number.
const NUMBER_BYTES: u32 = 10;

/// The error of a page that lacks bytes.
pub(super) fn ends() -> String {
    "a page ends within its values".to_owned()
}

/// Takes a number (ULEB128) off the front.
#[inline]
pub(super) fn number(rest: &mut &[u8]) -> Result<u64, String> {
    if let [byte @ ..128, behind @ ..] = rest {
        *rest = behind;
        return Ok(u64::from(*byte));
    }
    long_number(rest)
}

#[inline(never)]
fn long_number(rest: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0;
    for idx in 0..NUMBER_BYTES {
        let (byte, behind) = rest.split_first().ok_or_else(ends)?;
        *rest = behind;
        number |= u64::from(byte & 127) << (7 * idx);
        if *byte < 128 {
            return Ok(number);
        }
    }
    Err(format!("a number has more than {NUMBER_BYTES} bytes"))
}

/// The same with its sign in the lowest bit, of 32 bits.
pub(super) fn signed(rest: &mut &[u8]) -> Result<u32, String> {
    let number = number(rest)?;
    let value = (number >> 1) as i64 ^ -((number & 1) as i64);
    let value = i32::try_from(value).map_err(|_| format!("{value} has more than 32 bits"))?;
    Ok(value as u32)
}
