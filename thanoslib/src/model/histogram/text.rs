//! Text form and sizes.

use std::fmt::{self, Write};

use super::{Bucket, FloatHistogram};
use crate::model::float::General;

impl fmt::Display for Bucket {
    /// Interval notation: `(1,2]:3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char(if self.lower_inclusive { '[' } else { '(' })?;
        write!(f, "{},{}", General(self.lower), General(self.upper))?;
        f.write_char(if self.upper_inclusive { ']' } else { ')' })?;
        write!(f, ":{}", General(self.count))
    }
}

impl fmt::Display for FloatHistogram {
    /// Prometheus' text: `{count:3, sum:4, (1,2]:3}`, with the buckets that are not empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", General(self.count), General(self.sum))?;
        for bucket in self.all_buckets().filter(|b| b.count != 0.0) {
            write!(f, ", {bucket}")?;
        }
        f.write_char('}')
    }
}

impl FloatHistogram {
    /// Size in bytes as upstream counts it for limits and statistics.
    pub fn size_bytes(&self) -> usize {
        168 + 8
            * (self.positive_spans.len()
                + self.negative_spans.len()
                + self.positive_buckets.len()
                + self.negative_buckets.len()
                + self.custom_values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::histogram;

    #[test]
    fn text_and_size() {
        let mut h = histogram(0, 0.5, 2.0, &[(1, 1.0), (2, 0.0), (4, 1e6)]);
        h.negative_spans = h.positive_spans.clone();
        h.negative_buckets = vec![0.0, 3.0, 0.5];
        h.sum = -0.25;
        let want =
            "{count:1.000003e+06, sum:-0.25, [-16,-8):0.5, [-4,-2):0, [-0.5,0.5]:2, (1,2]:1, (8,16]:1e+06}";
        assert_eq!(h.to_string(), want.replace("[-4,-2):0", "[-4,-2):3").replace("[-2,-1):0, ", ""));
        assert_eq!(h.size_bytes(), 248);
    }
}
