//! SCRAM (RFC 5802): the password is proven, and never sent. No channel binding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2;
use sha2::{Digest as _, Sha256, Sha512};

/// A server that asks for more wants our time rather than a proof.
const ITERATIONS_LIMIT: u32 = 1_000_000;

#[derive(Debug, Clone, Copy)]
pub enum Hash {
    Sha256,
    Sha512,
}

/// The client's side, before the server has answered.
pub struct Scram {
    hash: Hash,
    nonce: String,
    /// The first message without its header.
    bare: String,
}

/// What a server sends last if it knows the password too.
pub struct Expected(String);

impl Scram {
    pub fn begin(hash: Hash, username: &str) -> Self {
        Self::with_nonce(hash, username, uuid::Uuid::new_v4().simple().to_string())
    }

    fn with_nonce(hash: Hash, username: &str, nonce: String) -> Self {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={username},r={nonce}");
        Self { hash, nonce, bare }
    }

    pub fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.bare).into_bytes()
    }

    /// The second message, for the server's answer to the first.
    pub fn prove(&self, answer: &[u8], password: &str) -> Result<(Vec<u8>, Expected), String> {
        let answer = std::str::from_utf8(answer).map_err(|error| error.to_string())?;
        let nonce = attribute(answer, 'r').filter(|it| it.starts_with(&self.nonce));
        let nonce = nonce.ok_or("the broker answers somebody else")?;
        let salt = attribute(answer, 's').and_then(|it| BASE64.decode(it).ok());
        let salt = salt.ok_or("the broker sends no salt")?;
        let iterations: Option<u32> = attribute(answer, 'i').and_then(|it| it.parse().ok());
        let iterations = iterations
            .filter(|it| (1..=ITERATIONS_LIMIT).contains(it))
            .ok_or("the broker asks for no, or too many, iterations")?;

        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{answer},{without_proof}", self.bare);
        let salted = self.hash.stretch(password, &salt, iterations)?;
        let client_key = self.hash.mac(&salted, b"Client Key")?;
        let signature = self.hash.mac(&self.hash.digest(&client_key), message.as_bytes())?;
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server_key = self.hash.mac(&salted, b"Server Key")?;
        let expected = self.hash.mac(&server_key, message.as_bytes())?;
        let second = format!("{without_proof},p={}", BASE64.encode(proof));
        Ok((second.into_bytes(), Expected(BASE64.encode(expected))))
    }
}

impl Expected {
    pub fn check(&self, last: &[u8]) -> Result<(), String> {
        let last = std::str::from_utf8(last).map_err(|error| error.to_string())?;
        match attribute(last, 'v') {
            Some(signature) if signature == self.0 => Ok(()),
            _ => Err("the broker does not know the password".to_owned()),
        }
    }
}

fn attribute(message: &str, name: char) -> Option<&str> {
    message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

impl Hash {
    fn stretch(self, password: &str, salt: &[u8], iterations: u32) -> Result<Vec<u8>, String> {
        let (password, mut key) = (password.as_bytes(), vec![0; self.length()]);
        let stretched = match self {
            Self::Sha256 => pbkdf2::<Hmac<Sha256>>(password, salt, iterations, &mut key),
            Self::Sha512 => pbkdf2::<Hmac<Sha512>>(password, salt, iterations, &mut key),
        };
        stretched.map(|()| key).map_err(|error| error.to_string())
    }

    fn length(self) -> usize {
        match self {
            Self::Sha256 => Sha256::output_size(),
            Self::Sha512 => Sha512::output_size(),
        }
    }

    fn mac(self, key: &[u8], message: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::Sha256 => mac::<Hmac<Sha256>>(key, message),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, message),
        }
    }

    fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Result<Vec<u8>, String> {
    let mut mac = <M as KeyInit>::new_from_slice(key).map_err(|error| error.to_string())?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange that RFC 7677 gives as an example.
    #[test]
    fn proves_and_checks_as_the_standard_says() -> Result<(), String> {
        let scram = Scram::with_nonce(Hash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO".to_owned());
        assert_eq!(scram.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let answer = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let (second, expected) = scram.prove(answer.as_bytes(), "pencil")?;
        let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(String::from_utf8_lossy(&second), format!("c=biws,r={nonce},p={proof}"));
        expected.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")?;
        assert!(expected.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=").is_err());
        assert!(scram.prove(b"r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "pencil").is_err());
        Ok(())
    }
}
