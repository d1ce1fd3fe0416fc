use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::Verified;

#[derive(Debug, thiserror::Error)]
pub enum HashError {
    #[error("argon2: {0}")]
    Argon2(#[from] argon2::Error),
    #[error("{0}")]
    Phc(#[from] argon2::password_hash::phc::Error),
    #[error("{0}")]
    Params(#[from] argon2::password_hash::Error),
    #[error("bcrypt: {0}")]
    Bcrypt(#[from] bcrypt::BcryptError),
    #[error("a stored hash is of no kind that we know")]
    Unknown,
}

/// Argon2id with its default costs, in memory that is used again until it is released.
#[derive(Default)]
pub struct Hasher {
    memory: Vec<Block>,
}

impl Hasher {
    /// Gives back the memory of the last hash.
    pub fn release_memory(&mut self) {
        self.memory = Vec::new();
    }

    pub fn hash(&mut self, password: &str) -> Result<String, HashError> {
        let argon2 = Argon2::default();
        let salt = Salt::new(&rand::random::<[u8; 16]>())?;
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(argon2.params())?,
            salt: Some(salt),
            hash: Some(self.compute(&argon2, password, &salt)?),
        };
        Ok(hash.to_string())
    }

    /// Without a hash, or with one that nobody can read, it works as long as with one of
    /// ours.
    pub fn verify(&mut self, password: &str, stored: Option<&str>) -> Result<Verified, HashError> {
        match stored.map(|stored| self.compare(password, stored)) {
            Some(Ok(verified)) => return Ok(verified),
            Some(Err(error)) => tracing::error!(%error, "a stored password hash is unusable"),
            None => {}
        }
        let salt = Salt::new(&[0; 16])?;
        self.compute(&Argon2::default(), password, &salt)?;
        Ok(Verified::Wrong)
    }

    fn compare(&mut self, password: &str, stored: &str) -> Result<Verified, HashError> {
        if stored.starts_with("$2") {
            let right = bcrypt::verify(password, stored)?;
            return Ok(if right { Verified::Outdated } else { Verified::Wrong });
        }
        let stored = PasswordHash::new(stored)?;
        let algorithm = Algorithm::new(stored.algorithm.as_str()).map_err(HashError::Argon2)?;
        let version = stored.version.map_or(Ok(Version::default()), Version::try_from)?;
        let params = Params::try_from(&stored)?;
        let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
            return Err(HashError::Unknown);
        };
        let is_ours = algorithm == Algorithm::Argon2id
            && version == Version::V0x13
            && (params.m_cost(), params.t_cost(), params.p_cost()) == costs(&Params::DEFAULT);
        let argon2 = Argon2::new(algorithm, version, params);
        // `Output` compares in constant time.
        Ok(match (self.compute(&argon2, password, &salt)? == expected, is_ours) {
            (false, _) => Verified::Wrong,
            (true, true) => Verified::Right,
            (true, false) => Verified::Outdated,
        })
    }

    fn compute(
        &mut self,
        argon2: &Argon2<'_>,
        password: &str,
        salt: &Salt,
    ) -> Result<Output, HashError> {
        let params = argon2.params();
        self.memory.resize(params.block_count(), Block::default());
        let mut out = [0; Output::MAX_LENGTH];
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let out = out.get_mut(..length).ok_or(HashError::Unknown)?;
        let memory = self.memory.as_mut_slice();
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, memory)?;
        Ok(Output::new(out)?)
    }
}

fn costs(params: &Params) -> (u32, u32, u32) {
    (params.m_cost(), params.t_cost(), params.p_cost())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "correct horse";

    fn verify(password: &str, stored: &str) -> Verified {
        Hasher::default().verify(password, Some(stored)).unwrap()
    }

    #[test]
    fn makes_argon2id_with_a_salt_of_its_own() {
        let mut hasher = Hasher::default();
        let (first, second) = (hasher.hash(PASSWORD).unwrap(), hasher.hash(PASSWORD).unwrap());
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        for hash in [&first, &second] {
            assert_eq!(verify(PASSWORD, hash), Verified::Right);
            assert_eq!(verify("wrong horse", hash), Verified::Wrong);
        }
        assert_ne!(first, second, "the same salt twice");
    }

    /// The reference implementation's own example (argon2i, 64 KiB), and bcrypt's.
    #[test]
    fn hashes_of_other_days_are_right_but_outdated() {
        let argon2i = "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$\
                       wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA";
        let bcrypt = bcrypt::hash(PASSWORD, 4).unwrap();
        for (password, hash) in [("password", argon2i), (PASSWORD, &bcrypt)] {
            assert_eq!(verify(password, hash), Verified::Outdated, "{hash}");
            assert_eq!(verify("wrong", hash), Verified::Wrong, "{hash}");
        }
    }

    #[test]
    fn what_is_no_hash_lets_nobody_in() {
        for broken in ["", "secret", "$2b$12$short", "$argon2id$v=19$m=19456,t=2,p=1$"] {
            assert_eq!(verify("secret", broken), Verified::Wrong, "{broken}");
        }
        assert_eq!(Hasher::default().verify("secret", None).unwrap(), Verified::Wrong);
    }
}
