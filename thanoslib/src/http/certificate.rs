//! What a client's certificate says of its owner.

/// The names in a certificate, as far as tenants and access are decided by them.
///
/// The server that made the TLS connection puts it, in an `Arc`, among the extensions of each request.
///
/// ```
/// use thanoslib::http::ClientCertificate;
/// assert!(ClientCertificate::parse(b"no certificate").is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Organizations of the subject.
    pub organization: Vec<String>,
    /// Organizational units of the subject.
    pub organizational_unit: Vec<String>,
    /// Common names of the subject; the last counts.
    pub common_name: Vec<String>,
    /// Its alternative names: DNS names, mail and IP addresses, URIs.
    pub names: Vec<String>,
}

/// A field of the certificate's subject.
///
/// See [`Tenancy::certificate_field`](super::Tenancy::certificate_field).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateField {
    /// The organization.
    Organization,
    /// The organizational unit.
    OrganizationalUnit,
    /// The common name.
    CommonName,
}

impl CertificateField {
    /// The field of a name as `--query.tenant-certificate-field` takes it.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "organization" => Some(Self::Organization),
            "organizationalUnit" => Some(Self::OrganizationalUnit),
            "commonName" => Some(Self::CommonName),
            _ => None,
        }
    }

    /// What the field is called in an error, as upstream calls it.
    pub(super) fn documented(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::OrganizationalUnit => "organizationalUnit",
            Self::CommonName => "common name",
        }
    }
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
/// The version, and the extensions, of a certificate.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Attributes of names: 2.5.4.x.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 4, 11];
/// The extension of alternative names: 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 17];

impl ClientCertificate {
    /// Reads a certificate in DER; `None` for bytes that are none. Signatures are not looked at.
    ///
    /// Source: RFC 5280, section 4.1.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let mut out = Self::default();
        let certificate = Der(der).expect(SEQUENCE)?;
        let mut body = Der(Der(certificate).expect(SEQUENCE)?);
        let (tag, _) = body.next()?;
        if tag == VERSION {
            // The serial number follows.
            body.next()?;
        }
        // Algorithm, issuer and validity stand before the subject.
        for _ in 0..3 {
            body.expect(SEQUENCE)?;
        }
        let mut subject = Der(body.expect(SEQUENCE)?);
        while let Some((SET, set)) = subject.next() {
            let mut set = Der(set);
            while let Some((SEQUENCE, attribute)) = set.next() {
                let mut attribute = Der(attribute);
                let id = attribute.expect(OBJECT_ID)?;
                let (tag, value) = attribute.next()?;
                let field = match id {
                    COMMON_NAME => &mut out.common_name,
                    ORGANIZATION => &mut out.organization,
                    ORGANIZATIONAL_UNIT => &mut out.organizational_unit,
                    _ => continue,
                };
                field.push(text(tag, value)?);
            }
        }
        while let Some((tag, value)) = body.next() {
            if tag == EXTENSIONS {
                alternative_names(value, &mut out.names)?;
            }
        }
        Some(out)
    }

    /// The first value of a field; of common names the last, as Go has it.
    pub fn field(&self, field: CertificateField) -> Option<&str> {
        let value = match field {
            CertificateField::Organization => self.organization.first(),
            CertificateField::OrganizationalUnit => self.organizational_unit.first(),
            CertificateField::CommonName => self.common_name.last(),
        };
        value.map(String::as_str)
    }
}

fn alternative_names(extensions: &[u8], out: &mut Vec<String>) -> Option<()> {
    let mut extensions = Der(Der(extensions).expect(SEQUENCE)?);
    while let Some((SEQUENCE, extension)) = extensions.next() {
        let mut extension = Der(extension);
        if extension.expect(OBJECT_ID)? != ALTERNATIVE_NAMES {
            continue;
        }
        while let Some((tag, value)) = extension.next() {
            if tag != OCTETS {
                continue;
            }
            let mut names = Der(Der(value).expect(SEQUENCE)?);
            while let Some((tag, name)) = names.next() {
                match tag {
                    // Mail address, DNS name, URI.
                    0x81 | 0x82 | 0x86 => out.push(String::from_utf8(name.to_vec()).ok()?),
                    0x87 => out.extend(address(name)),
                    _ => {}
                }
            }
        }
    }
    Some(())
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
}

/// A string of one of the kinds that names are made of.
fn text(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        // UTF-8, numeric, printable, IA5.
        0x0c | 0x12 | 0x13 | 0x16 => String::from_utf8(value.to_vec()).ok(),
        // T.61, read as Latin-1.
        0x14 => Some(value.iter().map(|b| char::from(*b)).collect()),
        // UTF-16.
        0x1e => {
            let (units, rest) = value.as_chunks::<2>();
            let units: Vec<u16> = units.iter().map(|u| u16::from_be_bytes(*u)).collect();
            rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten()
        }
        _ => None,
    }
}

/// Reads values of DER one by one.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Tag and contents of the next value.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x84 => {
                let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = after;
                digits.iter().fold(0, |n, d| n << 8 | usize::from(*d))
            }
            _ => return None,
        };
        let (value, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((tag, value))
    }

    /// Contents of the next value, which must have this tag.
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(got, _)| *got == tag).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let contents = parts.concat();
        let mut out = vec![tag];
        match contents.len() {
            n @ 0..=0x7f => out.push(n as u8),
            n => out.extend([0x82, (n >> 8) as u8, n as u8]),
        }
        out.extend(contents);
        out
    }

    fn attribute(id: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
        value(SET, &[&value(SEQUENCE, &[&value(OBJECT_ID, &[id]), &value(tag, &[text])])])
    }

    fn certificate(subject: &[&[u8]], names: &[u8]) -> Vec<u8> {
        let empty = value(SEQUENCE, &[]);
        let other = value(SEQUENCE, &[&value(OBJECT_ID, &[&[0x55, 0x1d, 15]]), &value(OCTETS, &[&[1]])]);
        let octets = value(OCTETS, &[&value(SEQUENCE, &[names])]);
        let alternative =
            value(SEQUENCE, &[&value(OBJECT_ID, &[ALTERNATIVE_NAMES]), &value(1, &[&[0xff]]), &octets]);
        let extensions = value(EXTENSIONS, &[&value(SEQUENCE, &[&other, &alternative])]);
        let body = [&value(VERSION, &[&[2, 1, 2]])[..], &value(2, &[&[7]]), &empty, &empty, &empty].concat();
        let body = value(SEQUENCE, &[&body, &value(SEQUENCE, subject), &empty, &extensions]);
        value(SEQUENCE, &[&body, &empty, &value(3, &[&[0; 200]])])
    }

    #[test]
    fn subject_and_names_are_read() {
        let subject = [
            attribute(&[0x55, 4, 6], 0x13, b"DE"),
            attribute(ORGANIZATION, 0x0c, "Über".as_bytes()),
            attribute(ORGANIZATION, 0x0c, b"second"),
            attribute(ORGANIZATIONAL_UNIT, 0x1e, &[0, b'u', 0, b'1']),
            attribute(COMMON_NAME, 0x13, b"first"),
            attribute(COMMON_NAME, 0x14, &[b'n', 0xe4]),
        ];
        let subject: Vec<&[u8]> = subject.iter().map(Vec::as_slice).collect();
        let names = [
            value(0x82, &[b"a.example"]),
            value(0x87, &[&[127, 0, 0, 1]]),
            value(0x86, &[b"spiffe://x"]),
            value(0xa0, &[b"other"]),
        ];
        let der = certificate(&subject, &names.concat());
        let got = ClientCertificate::parse(&der).expect("a certificate");
        let field = |field| got.field(field);
        assert_eq!(field(CertificateField::Organization), Some("Über"));
        assert_eq!(field(CertificateField::OrganizationalUnit), Some("u1"));
        assert_eq!(field(CertificateField::CommonName), Some("nä"));
        assert_eq!(got.names, ["a.example", "127.0.0.1", "spiffe://x"]);
        for cut in 0..der.len() {
            // Whatever is cut off, there is an answer.
            let _ = ClientCertificate::parse(&der[..cut]);
        }
        assert_eq!(ClientCertificate::parse(&certificate(&[], b"")), Some(ClientCertificate::default()));
        assert_eq!(ClientCertificate::default().field(CertificateField::CommonName), None);
    }
}
