//! Where an S3 bucket is reached: region and URL from an endpoint's name.
//!
//! Invariant: pure; asks no server.

/// How a request names the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bucket) enum Lookup {
    /// In the host for servers that are known to want it, else in the path.
    Auto,
    /// In the host.
    VirtualHosted,
    /// In the path.
    Path,
}

/// What the configuration says.
#[derive(Debug)]
pub(in crate::bucket) struct Wanted<'a> {
    pub(in crate::bucket) endpoint: &'a str,
    pub(in crate::bucket) bucket: &'a str,
    pub(in crate::bucket) region: &'a str,
    pub(in crate::bucket) insecure: bool,
    pub(in crate::bucket) lookup: Lookup,
}

/// Where requests go.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bucket) struct Address {
    /// Scheme and host; the host begins with the bucket's name when `virtual_hosted`.
    pub(in crate::bucket) url: String,
    /// The bucket is in the host, not in the path.
    pub(in crate::bucket) virtual_hosted: bool,
}

/// The region: as given, else out of an Amazon endpoint, else `us-east-1`.
pub(in crate::bucket) fn region(given: &str, endpoint: &str) -> String {
    if !given.is_empty() {
        return given.to_owned();
    }
    let host = endpoint.split(':').next().unwrap_or(endpoint);
    let found = host
        .strip_suffix(".amazonaws.com.cn")
        .or_else(|| host.strip_suffix(".amazonaws.com"))
        .and_then(|rest| {
            rest.strip_prefix("s3.dualstack.").or(rest.strip_prefix("s3.")).or(rest.strip_prefix("s3-"))
        })
        .filter(|region| !region.is_empty() && !region.contains('.'));
    found.unwrap_or("us-east-1").to_owned()
}

/// The address of a bucket.
pub(in crate::bucket) fn resolve(wanted: &Wanted<'_>) -> Address {
    let scheme = if wanted.insecure { "http" } else { "https" };
    // The global name answers for one region only, the others redirect.
    let host = match wanted.endpoint {
        "s3.amazonaws.com" => format!("s3.{}.amazonaws.com", wanted.region),
        other => other.to_owned(),
    };
    let virtual_hosted = match wanted.lookup {
        Lookup::VirtualHosted => true,
        Lookup::Path => false,
        Lookup::Auto => wants_host(&host) && fits_host(wanted.bucket, wanted.insecure),
    };
    let url = match virtual_hosted {
        true => format!("{scheme}://{}.{host}", wanted.bucket),
        false => format!("{scheme}://{host}"),
    };
    Address { url, virtual_hosted }
}

fn wants_host(endpoint: &str) -> bool {
    let host = endpoint.split(':').next().unwrap_or(endpoint);
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn") || host.ends_with(".aliyuncs.com")
}

/// A name with dots matches no wildcard certificate.
fn fits_host(bucket: &str, insecure: bool) -> bool {
    let label = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    (3..=63).contains(&bucket.len()) && bucket.split('.').all(label) && (insecure || !bucket.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_come_from_amazon_names() {
        let check = |given: &str, endpoint: &str, want: &str| assert_eq!(region(given, endpoint), want);
        check("eu-1", "s3.us-west-2.amazonaws.com", "eu-1");
        check("", "s3.us-west-2.amazonaws.com", "us-west-2");
        check("", "s3.us-west-2.amazonaws.com:443", "us-west-2");
        check("", "s3-eu-west-1.amazonaws.com", "eu-west-1");
        check("", "s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1");
        check("", "s3.cn-north-1.amazonaws.com.cn", "cn-north-1");
        check("", "s3.amazonaws.com", "us-east-1");
        check("", "minio:9000", "us-east-1");
    }

    #[test]
    fn the_bucket_goes_where_the_server_wants_it() {
        let check = |endpoint, bucket, lookup, insecure, url: &str| {
            let wanted = Wanted { endpoint, bucket, region: "eu-1", insecure, lookup };
            let virtual_hosted = url.contains(bucket);
            assert_eq!(resolve(&wanted), Address { url: url.to_owned(), virtual_hosted });
        };
        check("minio:9000", "bkt", Lookup::Auto, true, "http://minio:9000");
        check("minio:9000", "bkt", Lookup::VirtualHosted, false, "https://bkt.minio:9000");
        check("s3.eu-1.amazonaws.com", "bkt", Lookup::Auto, false, "https://bkt.s3.eu-1.amazonaws.com");
        check("s3.eu-1.amazonaws.com", "bkt", Lookup::Path, false, "https://s3.eu-1.amazonaws.com");
        check("s3.amazonaws.com", "b.kt", Lookup::Auto, false, "https://s3.eu-1.amazonaws.com");
        check("s3.amazonaws.com", "b.kt", Lookup::Auto, true, "http://b.kt.s3.eu-1.amazonaws.com");
        check("oss-a.aliyuncs.com", "bkt", Lookup::Auto, false, "https://bkt.oss-a.aliyuncs.com");
        check("s3.amazonaws.com", "Big_Bkt", Lookup::Auto, false, "https://s3.eu-1.amazonaws.com");
    }
}
