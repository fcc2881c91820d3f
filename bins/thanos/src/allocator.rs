//! The allocator of the process and its settings.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Buffers of more than 8 MiB, as answers have them, are kept for the next ones as smaller ones are,
/// until some seconds passed. Else they are given back to the system at once, and each page of them is
/// cleared anew.
///
/// SAFETY: the name is that of the variable which jemalloc reads at its start, a pointer to text that
/// ends with a zero byte. A reference to an array is such a pointer, and nothing else has this name.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static SETTINGS: &[u8; 21] = b"oversize_threshold:0\0";

#[cfg(test)]
mod tests {
    #[test]
    fn settings_end_with_a_zero_byte() {
        assert_eq!(super::SETTINGS.iter().position(|b| *b == 0), Some(super::SETTINGS.len() - 1));
    }
}
