//! Whether Events may be written: asks the API server about the agent's own rights, for `observer doctor`.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};

use super::write::{NOT_ALLOWED, answered};
use crate::{causes::chain, config::Config, host, source::kubernetes};

/// Whether Events may be created and patched in every namespace, or why not; `None` where none are wanted.
pub(crate) fn of(config: &Config) -> Option<Result<(), String>> {
    config.kubernetes_events.then(|| {
        if host::node(config).is_none() {
            return Err("no pods are watched here (--kubernetes)".to_owned());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(ask())
    })
}

async fn ask() -> Result<(), String> {
    let client = kubernetes::client().await.map_err(|error| error.to_string())?;
    for verb in ["create", "patch"] {
        if !may(&client, verb).await.map_err(|error| chain(&error))? {
            return Err(NOT_ALLOWED.to_owned());
        }
    }
    Ok(())
}

async fn may(client: &Client, verb: &str) -> kube::Result<bool> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                resource: Some("events".to_owned()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews = Api::<SelfSubjectAccessReview>::all(client.clone());
    let answer = answered(reviews.create(&PostParams::default(), &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
