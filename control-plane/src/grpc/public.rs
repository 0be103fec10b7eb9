//! What anybody who reaches the listener may ask: whether the server is well, and what its services
//! are.

use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use tonic_reflection::server::Builder;

/// The services, and what ends the streams of those who watch the server's health.
pub(super) fn add(
    routes: Routes,
) -> Result<(Routes, HealthReporter), tonic_reflection::server::Error> {
    let described = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(gateway_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (reporter, health) = tonic_health::server::health_reporter();
    let routes = routes
        .add_service(health)
        .add_service(described().build_v1()?)
        // Which the reflection clients of some languages still speak alone.
        .add_service(described().build_v1alpha()?);
    Ok((routes, reporter))
}
