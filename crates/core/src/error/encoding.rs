//! Reading failures: they nest, so foreign bytes could nest them without an end.

use minicbor::Decode;
use minicbor::decode::{Decoder, Error};

use super::Failure;
use crate::limits::FAILURE_DEPTH_MAX;
use crate::text::Text;

impl<'b, C> Decode<'b, C> for Failure {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, Error> {
        nested(d, ctx, 0)
    }
}

fn nested<'b, C>(d: &mut Decoder<'b>, ctx: &mut C, depth: usize) -> Result<Failure, Error> {
    if depth > FAILURE_DEPTH_MAX {
        return Err(Error::message("failures are nested too deeply"));
    }
    let (mut code, mut message, mut retryable) = (None, None, None);
    let mut causes = Vec::new();
    let entries = d.map()?.ok_or_else(|| Error::message("a failure's length is not known"))?;
    for _ in 0..entries {
        match d.u32()? {
            0 => code = Some(Text::decode(d, ctx)?),
            1 => message = Some(Text::decode(d, ctx)?),
            2 => retryable = Some(d.bool()?),
            3 => {
                let count = d.array()?;
                let count = count.ok_or_else(|| Error::message("causes are not counted"))?;
                for _ in 0..count {
                    causes.push(nested(d, ctx, depth + 1)?);
                }
            }
            _ => d.skip()?,
        }
    }
    Ok(Failure {
        code: code.ok_or_else(|| Error::missing_value(0))?,
        message: message.ok_or_else(|| Error::missing_value(1))?,
        retryable: retryable.ok_or_else(|| Error::missing_value(2))?,
        causes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nest(depth: usize) -> Vec<u8> {
        let mut failure = Failure::fatal("inner", "x");
        for _ in 0..depth {
            failure = Failure { causes: vec![failure], ..Failure::retryable("outer", "y") };
        }
        minicbor::to_vec(failure).unwrap()
    }

    #[test]
    fn causes_of_causes_read_back() {
        let bytes = nest(FAILURE_DEPTH_MAX);
        let failure: Failure = minicbor::decode(&bytes).unwrap();
        assert_eq!(minicbor::to_vec(failure).unwrap(), bytes);
    }

    #[test]
    fn failures_nested_without_an_end_are_refused() {
        assert!(minicbor::decode::<Failure>(&nest(FAILURE_DEPTH_MAX + 1)).is_err());
        // A cause that never comes to its end: {3: [{3: [{3: [ …
        let endless = [0xa1, 0x03, 0x81].repeat(1_000_000);
        assert!(minicbor::decode::<Failure>(&endless).is_err());
    }

    #[test]
    fn failure_without_its_fields_is_refused() {
        assert!(minicbor::decode::<Failure>(&[0xa0]).is_err());
    }
}
