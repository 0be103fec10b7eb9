"""An administrator who has no files of the admin API: every service and message comes from the server's reflection.

Usage: admin_by_reflection.py HOST:PORT, with the administrator's token in MCP_GATEWAY_TOKEN.
Makes, changes, lists, rolls back, watches and deletes tenants, and fails where an answer is not what the API says.
"""

import os
import sys
import uuid

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

CHANNEL = grpc.insecure_channel(sys.argv[1])
DATABASE = ProtoReflectionDescriptorDatabase(CHANNEL)
POOL = descriptor_pool.DescriptorPool(DATABASE)
CREDENTIALS = (("authorization", "Bearer " + os.environ["MCP_GATEWAY_TOKEN"]),)
PATIENCE_SECONDS = 20


class Service:
    """The methods of a service, each called with the fields of its request."""

    def __init__(self, name):
        for method in POOL.FindServiceByName(name).methods:
            setattr(self, method.name, self.caller(name, method))

    @staticmethod
    def caller(service, method):
        request_type = message_factory.GetMessageClass(method.input_type)
        response_type = message_factory.GetMessageClass(method.output_type)
        open_call = CHANNEL.unary_stream if method.server_streaming else CHANNEL.unary_unary
        call = open_call(
            f"/{service}/{method.name}",
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )
        return lambda **fields: call(request_type(**fields), metadata=CREDENTIALS, timeout=PATIENCE_SECONDS)


def expect(found, wanted, what):
    if found != wanted:
        sys.exit(f"{what}: {found!r} is not {wanted!r}")
    print(f"ok: {what}")


def refused(call, code, what):
    """The fields that a refusal names."""
    try:
        call()
    except grpc.RpcError as error:
        expect(error.code(), code, what)
        details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
        return details.decode("utf-8", "replace")
    sys.exit(f"{what}: was not refused")


def pages(call, items, **fields):
    token = ""
    while True:
        page = call(page_token=token, page_size=2, **fields)
        yield from getattr(page, items)
        token = page.next_page_token
        if not token:
            return


def main():
    services = set(DATABASE.get_services())
    for name in ("gateway.admin.v1.Admin", "gateway.admin.v1.Resources", "grpc.health.v1.Health"):
        expect(name in services, True, f"{name} is served")
    health = Service("grpc.health.v1.Health").Check(service="gateway.admin.v1.Admin")
    expect(health.status, 1, "the admin service is healthy")

    admin, parts = Service("gateway.admin.v1.Admin"), Service("gateway.admin.v1.Resources")
    for number in range(5):
        text = f"tenant: t{number}\nservers: {{ web: 'http://192.0.2.1/mcp' }}\n"
        made = admin.ApplyTenant(yaml=text, reason=f"number {number}")
        expect((made.revision, made.changed), (1, True), f"tenant t{number} is made")
    names = [tenant.name for tenant in pages(admin.ListTenants, "tenants")]
    expect(names, [f"tenants/t{number}" for number in range(5)], "tenants come in pages")
    found = pages(admin.ListTenants, "tenants", filter='name = "tenants/t3" AND revision = 1', order_by="update_time desc")
    expect([tenant.name for tenant in found], ["tenants/t3"], "tenants are found by a filter")

    server = parts.GetServer(name="tenants/t1/servers/web")
    server.config.timeout.seconds = 7
    server.config.spec.remote.endpoint = "http://192.0.2.2/mcp"
    mask = {"paths": ["config.timeout"]}
    changed = parts.UpdateServer(server=server, update_mask=mask, reason="slower")
    expect(changed.config.timeout.seconds, 7, "a field of a server is changed")
    expect(changed.config.spec.remote.endpoint, "http://192.0.2.1/mcp", "what the mask leaves out stays")
    stale = refused(lambda: parts.UpdateServer(server=server, update_mask=mask), grpc.StatusCode.ABORTED, "a stale etag")
    expect(stale, "", "a stale etag is no violation of a field")

    change = {"parent": "tenants/t1", "profile_id": "dev", "request_id": str(uuid.uuid4())}
    change["profile"] = {"config": {"servers": ["web"]}}
    made = parts.CreateProfile(**change)
    again = parts.CreateProfile(**change)
    expect(again, made, "a request that is sent again is answered as the first time")
    profile = {"config": {"servers": ["mail"]}}
    other = refused(lambda: parts.CreateProfile(**{**change, "profile": profile}), grpc.StatusCode.INVALID_ARGUMENT, "another body")
    expect("request_id" in other, True, "another body under a used request id names the field")
    wrong = refused(
        lambda: parts.CreateProfile(parent="tenants/t1", profile_id="ops", profile=profile),
        grpc.StatusCode.INVALID_ARGUMENT,
        "a profile of an unknown server",
    )
    expect("profiles.ops.servers[0]" in wrong, True, "the violation names the field")

    revisions = [revision.revision for revision in pages(admin.ListRevisions, "revisions", parent="tenants/t1")]
    expect(revisions, [3, 2, 1], "every change is a revision")
    back = admin.RollbackTenant(name="tenants/t1", revision=1, reason="as it was")
    expect((back.revision, sorted(change.path for change in back.changes)), (4, ["profiles.dev", "servers.web.timeout"]), "a rollback")
    watch = admin.WatchTenant(name="tenants/t1")
    expect(next(watch).tenant.revision, 4, "a watcher sees what is current")
    admin.DeleteTenant(name="tenants/t1")
    expect(next(watch).HasField("tenant"), False, "a watcher hears of the end")
    watch.cancel()
    refused(lambda: admin.GetTenant(name="tenants/t1"), grpc.StatusCode.NOT_FOUND, "a tenant that is gone")


main()
