//! Authentication `desktop-implicit`: whoever reaches the desktop's listener is its user.

use async_trait::async_trait;
use gateway_core::plugin::{AuthProvider, Authentication};
use gateway_core::{CallContext, Credential, PluginError, Principal, UserId};

/// Accepts a client whatever it presents, a credential or nothing, as `desktop-user` without
/// roles. A credential is accepted unread, because clients send the one that they are set up with.
#[derive(Debug)]
pub(crate) struct DesktopImplicit {
    user: UserId,
}

impl DesktopImplicit {
    pub(crate) const NAME: &'static str = "desktop-implicit";

    #[expect(clippy::expect_used, reason = "the literal is a valid user id")]
    pub(crate) fn new() -> Self {
        let user = "desktop-user".parse().expect("a valid user id");
        Self { user }
    }
}

#[async_trait]
impl AuthProvider for DesktopImplicit {
    async fn validate_credential(
        &self,
        _context: &CallContext,
        _credential: &Credential,
    ) -> Result<Authentication, PluginError> {
        Ok(Authentication::Accepted(Principal::named(
            self.user.clone(),
        )))
    }
}
