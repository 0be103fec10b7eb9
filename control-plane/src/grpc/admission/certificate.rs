//! Client certificates: the names in them, and the roles that names have.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::token::{InvalidRole, Role};

/// A name in a certificate. It is compared as it is: no pattern, no case, no suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The common name of the subject, where it has exactly one.
    CommonName(String),
    /// A DNS name among the alternative names.
    Dns(String),
    /// A URI among the alternative names.
    Uri(String),
}

/// The role of those whose certificate has a name: `cn:NAME=ROLE`, `dns:NAME=ROLE` or
/// `uri:URI=ROLE`, where a tenant's role is followed by `:TENANT`, and `join` may be by
/// `:TENANT+TENANT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRole {
    pub(super) subject: Subject,
    pub(super) role: Role,
}

/// A text that gives no role to a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificateRole {
    /// It has another form.
    #[error("`{0}` has no role: write cn:NAME=ROLE, dns:NAME=ROLE or uri:URI=ROLE")]
    Form(String),
    /// There is no such role.
    #[error(transparent)]
    Role(#[from] InvalidRole),
}

impl FromStr for CertificateRole {
    type Err = InvalidCertificateRole;

    fn from_str(text: &str) -> Result<Self, InvalidCertificateRole> {
        let form = || InvalidCertificateRole::Form(text.to_owned());
        // A URI may have the sign too, a role never has.
        let (subject, role) = text.rsplit_once('=').ok_or_else(form)?;
        let subject = match subject.split_once(':') {
            Some((_, "")) | None => return Err(form()),
            Some(("cn", name)) => Subject::CommonName(name.to_owned()),
            Some(("dns", name)) => Subject::Dns(name.to_owned()),
            Some(("uri", name)) => Subject::Uri(name.to_owned()),
            Some(_) => return Err(form()),
        };
        let role = role.parse()?;
        Ok(Self { subject, role })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommonName(name) => write!(f, "cn:{name}"),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Uri(name) => write!(f, "uri:{name}"),
        }
    }
}

/// The names in a certificate that has been verified; none if it cannot be read.
pub(in crate::grpc) fn subjects(certificate: &CertificateDer<'_>) -> Vec<Subject> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else {
        return Vec::new();
    };
    let common_name = common_name(certificate.subject()).map(Subject::CommonName);
    let dns = certificate.valid_dns_names().map(str::to_owned);
    let uris = certificate.valid_uri_names().map(str::to_owned);
    common_name
        .into_iter()
        .chain(dns.map(Subject::Dns))
        .chain(uris.map(Subject::Uri))
        .collect()
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `UTF8String`, `PrintableString`, `IA5String`.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The common name in the content of a DER-encoded `Name`. Where there are several, nobody can say
/// which one is meant.
fn common_name(mut name: &[u8]) -> Option<String> {
    let mut found = None;
    while !name.is_empty() {
        let (mut set, rest) = element(name, &[SET])?;
        name = rest;
        while !set.is_empty() {
            let (attribute, rest) = element(set, &[SEQUENCE])?;
            set = rest;
            let (kind, value) = element(attribute, &[OBJECT_IDENTIFIER])?;
            if kind != COMMON_NAME {
                continue;
            }
            let (text, end) = element(value, &TEXTS)?;
            let text = std::str::from_utf8(text).ok()?;
            if !end.is_empty() || found.replace(text).is_some() {
                return None;
            }
        }
    }
    found.map(str::to_owned)
}

/// The content of the DER element that `bytes` begin with, if it has one of these tags, and what
/// follows it.
fn element<'a>(bytes: &'a [u8], tags: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (tag, bytes) = bytes.split_first()?;
    if !tags.contains(tag) {
        return None;
    }
    let (first, bytes) = bytes.split_first()?;
    let (length, bytes) = match *first {
        short @ 0..=0x7f => (usize::from(short), bytes),
        0x81 => {
            let (length, bytes) = bytes.split_first()?;
            (usize::from(*length), bytes)
        }
        0x82 => {
            let (length, bytes) = bytes.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), bytes)
        }
        // No certificate is so large.
        _ => return None,
    };
    bytes.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common_names: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["ops.example".to_owned()]).unwrap();
        let uri = "spiffe://example/ops?a=b".try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, "x".repeat(200));
        for (index, text) in common_names.iter().enumerate() {
            // Another type each, as one type is kept once.
            let kind = match index {
                0 => DnType::CommonName,
                _ => DnType::CustomDnType(vec![2, 5, 4, 3]),
            };
            name.push(kind, *text);
        }
        params.distinguished_name = name;
        let signed = params.self_signed(&KeyPair::generate().unwrap());
        signed.unwrap().der().clone()
    }

    #[test]
    fn a_certificate_has_its_names() {
        let (dns, uri) = ("ops.example", "spiffe://example/ops?a=b");
        let alternative = [Subject::Dns(dns.into()), Subject::Uri(uri.into())];
        let found = subjects(&certificate(&["ada"]));
        assert_eq!(found[0], Subject::CommonName("ada".into()));
        assert_eq!(found[1..], alternative);
        assert_eq!(subjects(&certificate(&[])), alternative);
        assert_eq!(subjects(&certificate(&["ada", "bob"])), alternative);
        assert_eq!(subjects(&CertificateDer::from(vec![0x30, 0x82])), []);
    }

    #[test]
    fn a_name_that_is_cut_off_is_none() {
        let der = certificate(&["ada"]);
        let whole = EndEntityCert::try_from(&der).unwrap();
        let subject = whole.subject();
        for length in 1..subject.len() {
            assert_eq!(common_name(&subject[..length]), None, "{length}");
        }
        assert_eq!(common_name(subject).as_deref(), Some("ada"));
    }

    proptest! {
        #[test]
        fn whatever_a_name_is_made_of_it_can_be_read(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            begin in prop::sample::select(vec![vec![], vec![SET], vec![SET, 0x10, SEQUENCE]]),
        ) {
            common_name(&[begin, bytes].concat());
        }
    }

    #[test]
    fn a_role_of_a_certificate_is_read() {
        for (text, subject, role) in [
            (
                "cn:ada=administrator",
                Subject::CommonName("ada".into()),
                "administrator",
            ),
            (
                "dns:edge.example=join",
                Subject::Dns("edge.example".into()),
                "join",
            ),
            (
                "dns:edge.example=join:acme+beta",
                Subject::Dns("edge.example".into()),
                "join:acme+beta",
            ),
            (
                "uri:spiffe://x/y?a=b=tenant-viewer:acme",
                Subject::Uri("spiffe://x/y?a=b".into()),
                "tenant-viewer:acme",
            ),
        ] {
            let read: CertificateRole = text.parse().unwrap();
            assert_eq!(read.subject, subject);
            assert_eq!(read.role.to_string(), role);
        }
        for text in [
            "",
            "cn:ada",
            "ada=join",
            "cn:=join",
            "o:ada=join",
            "cn:ada=root",
        ] {
            assert!(text.parse::<CertificateRole>().is_err(), "{text}");
        }
    }
}
