"""Who may: JWTs made by PyJWT, key sets that rotate, vanish and misbehave; roles and scopes."""

import base64
import concurrent.futures
import json
import time

import jwt
import pytest

from harness import Raw, free_port, request_bytes
from harness.api import Api
from harness.jwks import AUDIENCE, ISSUER, JwksServer, Key, b64

KEYFUNC = "token is unverifiable: error while executing keyfunc: "


@pytest.fixture(scope="module")
def keys():
    return {alg: Key(alg, alg.lower()) for alg in ("RS256", "ES256", "EdDSA")}


@pytest.fixture
def id_service():
    servers = []

    def make(*keys):
        servers.append(JwksServer(*keys))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def jwks_world(new_world, id_service):
    """A broker whose producers and workers have JWTs of one identity service."""

    def make(*keys, config=None, **settings):
        service = id_service(*keys)
        config = service.config(**(config or {}))
        world = new_world(backend=False, **{"PRODUCER_AUTH_PROVIDER": "jwks", "PRODUCER_AUTH_CONFIG": config,
                                            "WORKER_AUTH_PROVIDER": "jwks", "WORKER_AUTH_CONFIG": config, **settings})
        world.service = service
        return world

    return make


def create(world, token):
    return Api(world.broker, token).call("POST", "/tasks", {"command": "A", "payload": 1})


def refusal(world, token):
    answer = create(world, token)
    assert answer.status == 401 and answer.code == "unauthenticated", answer
    return answer.error


def edited(token, **header):
    """The token with another header, and the signature of before."""
    head, body, signature = token.split(".")
    fields = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))) | header
    return ".".join([b64(json.dumps(fields).encode()), body, signature])


def test_tokens_of_all_six_algorithms_work_from_create_to_result(jwks_world, keys):
    world = jwks_world(*keys.values())
    for alg, key in (("RS256", "RS256"), ("RS384", "RS256"), ("RS512", "RS256"), ("PS256", "RS256"), ("ES256", "ES256"),
                     ("EdDSA", "EdDSA")):
        producer = Api(world.broker, keys[key].token(alg))
        worker = Api(world.broker, keys[key].worker_token(alg=alg))
        task = producer.create(alg)
        assert worker.claim(alg)["id"] == task["id"]
        worker.complete(task["id"])
        assert producer.result(task["id"])["result"]["result"] == {"ok": True}
        for at in (5, len(producer.token) // 2, len(producer.token) - 10):  # header, claims, signature
            tampered = producer.token[:at] + ("A" if producer.token[at] != "A" else "B") + producer.token[at + 1:]
            assert create(world, tampered).status == 401
    assert world.service.fetches == 1, "one key set for producers and workers, and none was missing"


def test_the_algorithm_is_the_keys_and_never_the_tokens_alone(jwks_world, keys):
    rsa, ec, ed = keys["RS256"], keys["ES256"], keys["EdDSA"]
    named = Key("RS256", "named")
    world = jwks_world(rsa, ec, ed, named.jwk(alg="RS256"))
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "tid": "acme", "exp": int(time.time()) + 600}
    assert refusal(world, jwt.encode(claims, None, "none", headers={"kid": "rs256"})) == \
        KEYFUNC + "unexpected signing method: none"
    # The public key as the secret of an HMAC: everybody could make that token. PyJWT refuses to, so it is put together here.
    import hashlib
    import hmac
    text = b64(b'{"alg":"HS256","kid":"rs256"}') + "." + b64(json.dumps(claims).encode())
    forged = text + "." + b64(hmac.new(rsa.pem, text.encode(), hashlib.sha256).digest())
    assert refusal(world, forged) == KEYFUNC + "unexpected signing method: HS256"
    wrong_type = "token signature is invalid: key is of invalid type"
    assert refusal(world, edited(rsa.token(), kid="es256")) == wrong_type
    assert refusal(world, edited(ec.token(), kid="rs256")) == wrong_type
    assert refusal(world, edited(ed.token(), alg="RS256")) == wrong_type
    assert refusal(world, edited(rsa.token(), alg="PS256")) == "token signature is invalid: crypto/rsa: verification error"
    # `alg` of a key is honoured: a good signature of another algorithm with it is none.
    assert create(world, named.token()).status == 202
    assert refusal(world, named.token("PS256")) == wrong_type
    assert refusal(world, named.token("RS512")) == wrong_type
    # A key in the token's own header is nobody's.
    stranger = Key("ES256", "es256")
    assert refusal(world, stranger.token(headers={"jwk": stranger.jwk(), "jku": world.service.url})) == \
        "token signature is invalid: crypto/ecdsa: verification error"


def test_claims_are_judged_in_the_references_words(jwks_world, keys):
    key = keys["ES256"]
    world = jwks_world(key)
    now = int(time.time())
    has = "token has invalid claims: "
    assert refusal(world, key.token(exp=now - 10)) == has + "token is expired"
    assert refusal(world, key.token(nbf=now + 100)) == has + "token is not valid yet"
    assert refusal(world, key.token(exp=now - 10, nbf=now + 100)) == has + "token is expired, token is not valid yet"
    assert refusal(world, key.token(exp="soon")) == has + "invalid type for claim: exp is invalid"
    assert refusal(world, key.token(iss="https://other")) == "invalid issuer: https://other"
    assert refusal(world, key.token(aud="other")) == "invalid audience: [other]"
    assert refusal(world, key.token(aud=["a", "b"])) == "invalid audience: [a b]"
    assert refusal(world, "a.b") == "token is malformed: token contains an invalid number of segments"
    assert refusal(world, key.token(headers={"kid": ""})) == KEYFUNC + "missing kid in token header"
    assert create(world, key.token(aud=["a", AUDIENCE])).status == 202


def test_exp_is_required_and_iat_must_not_be_in_the_future(jwks_world, keys):
    key = keys["ES256"]
    world = jwks_world(key)
    now = int(time.time())
    has = "token has invalid claims: "
    assert refusal(world, key.token(without=["exp"])) == has + "token is missing required claim: exp claim is required"
    assert refusal(world, key.token(iat=now + 100)) == has + "token used before issued"


def test_q16_the_clock_skew_has_an_effect(jwks_world, keys):
    key = keys["ES256"]
    world = jwks_world(key, config={"clockSkew": 60_000_000_000})
    now = int(time.time())
    for claims in ({"exp": now - 30}, {"nbf": now + 30}, {"iat": now + 30}):
        assert create(world, key.token(**claims)).status == 202, claims
    for claims in ({"exp": now - 90}, {"nbf": now + 90}, {"iat": now + 90}):
        assert create(world, key.token(**claims)).status == 401, claims


def test_tenant_claims_and_scopes_of_a_jwt(jwks_world, keys):
    key = keys["EdDSA"]
    world = jwks_world(key)
    for claims in ({"tid": 7}, {"tid": "Acme"}, {"tid": "acme", "tenantId": "other"}, {"tid": ""}):
        answer = create(world, key.token(**claims))
        assert (answer.status, answer.error) == (403, "invalid tenant claims"), claims
    assert create(world, key.token(without=["tid"])).status == 202  # `alice` is a tenant's name
    assert create(world, key.token(without=["tid"], sub="alice@example.org")).error == "invalid tenant claims"
    claim = {"commands": ["A"]}

    def worker(**claims):
        answer = Api(world.broker, key.worker_token(**claims)).call("POST", "/tasks/claim", claim)
        return answer.status if answer.status in (200, 204) else (answer.status, answer.error)

    assert worker() in (200, 204)
    assert worker(without=["sub"]) == (400, "workerId is required")  # nobody's name could hold the lease
    assert worker(eventTypes="*") == (401, "missing eventTypes")  # a plain string is ignored
    assert worker(scope=["codeq:claim"]) == (401, "missing scope")
    assert worker(scope="codeq:nack") == (403, "missing scope")
    assert worker(eventTypes=["B"]) == (403, "event type not allowed")


def test_admin_is_a_scope_or_a_role_of_the_token_and_nothing_else(jwks_world, keys):
    key = keys["EdDSA"]
    world = jwks_world(key)

    def cleanup(*headers, **claims):
        return Api(world.broker, key.token(**claims)).call("POST", "/admin/tasks/cleanup", {}, headers=headers)

    assert cleanup().error == "unauthorized. Admin only"
    assert cleanup(scope="x codeq:admin").status == 200
    assert cleanup(role=" admin ").status == 200
    assert cleanup(("X-Role", "ADMIN")).status == 401


def test_q5_g46_a_role_in_a_header_counts_only_where_that_is_asked_for_by_name(new_world):
    header = [("X-Role", "ADMIN")]
    plain = new_world(backend=False)
    assert plain.producer.call("POST", "/admin/tasks/cleanup", {}, headers=header).status == 401
    asked = new_world(backend=False, DEV_ROLE_HEADER="true")
    assert asked.producer.call("POST", "/admin/tasks/cleanup", {}, headers=header).status == 200
    assert asked.producer.call("POST", "/admin/tasks/cleanup", {}).status == 401
    assert asked.worker.call("POST", "/admin/tasks/cleanup", {}, headers=header).status == 401
    refused = new_world(backend=False, start=False, DEV_ROLE_HEADER="true", ENV="prod")
    with pytest.raises(AssertionError, match="a role from a request header is for `env: dev` only"):
        refused.broker.start()


def test_an_unknown_kid_is_fetched_for_once_and_then_remembered(jwks_world, keys):
    world = jwks_world(keys["RS256"])
    assert create(world, keys["RS256"].token()).status == 202  # the first fetch is over
    token = Key("ES256", "nobody").token()
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: create(world, token), range(40)))
    assert {(a.status, a.error) for a in answers} == {(401, KEYFUNC + "key nobody not found in JWKS")}
    assert world.service.fetches == 2
    # Tokens that nobody's key could save do not reach the identity service at all.
    for n in range(50):
        create(world, Key("ES256", f"x{n}").token(iss="https://other"))
    assert world.service.fetches == 2


def test_many_unknown_kids_do_not_become_as_many_fetches(jwks_world, keys):
    world = jwks_world(keys["RS256"])
    assert create(world, keys["RS256"].token()).status == 202
    stranger = Key("ES256", "s")
    begin = time.monotonic()
    tokens = [stranger.token(headers={"kid": f"s{n}"}) for n in range(60)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert {a.status for a in pool.map(lambda token: create(world, token), tokens)} == {401}
    # One a second at most, and one at the start.
    assert world.service.fetches <= 2 + (time.monotonic() - begin)


def test_a_new_key_is_accepted_without_a_refusal(jwks_world, keys):
    world = jwks_world(keys["RS256"])
    assert create(world, keys["RS256"].token()).status == 202
    for n in range(3):
        new = Key("ES256", f"new{n}")
        world.service.keys.append(new.jwk())
        assert create(world, new.token()).status == 202
        assert create(world, keys["RS256"].token()).status == 202


def test_a_removed_key_takes_its_tokens_with_it_also_those_seen_before(jwks_world, keys):
    old, new = keys["RS256"], keys["ES256"]
    world = jwks_world(old)
    token = old.token()
    assert create(world, token).status == 202
    world.service.keys = [new.jwk()]
    assert create(world, new.token()).status == 202  # which fetches the set
    assert create(world, token).status == 401


def test_while_the_key_server_is_down_known_keys_serve_and_refusals_say_nothing_of_it(jwks_world, keys):
    world = jwks_world(keys["RS256"])
    assert create(world, keys["RS256"].token()).status == 202
    world.service.manners = "error"
    assert refusal(world, keys["ES256"].token()) == KEYFUNC + "failed to fetch JWKS"
    fetches = world.service.fetches
    for n in range(20):
        assert create(world, keys["RS256"].token(jti=str(n))).status == 202
        assert refusal(world, keys["ES256"].token(jti=str(n))) == KEYFUNC + "failed to fetch JWKS"
    assert world.service.fetches - fetches <= 3, "the outage is not answered with a storm"
    assert str(world.service.port) not in world.broker.log()
    world.service.keys.append(keys["ES256"].jwk())
    world.service.manners = "ok"
    world.service.wait_for_fetches(fetches + 1)  # by itself
    deadline = time.monotonic() + 20
    while create(world, keys["ES256"].token()).status != 202:
        assert time.monotonic() < deadline


def test_a_key_server_that_is_down_does_not_stop_the_start(new_world, keys):
    port = free_port()
    config = json.dumps({"jwksUrl": f"http://127.0.0.1:{port}/keys", "issuer": ISSUER, "audience": AUDIENCE})
    world = new_world(backend=False, WORKER_AUTH_PROVIDER="jwks", WORKER_AUTH_CONFIG=config)
    assert world.producer.create("A")
    answer = Api(world.broker, keys["RS256"].worker_token()).call("POST", "/tasks/claim", {"commands": ["A"]})
    assert (answer.status, answer.error) == (401, KEYFUNC + "failed to fetch JWKS")


@pytest.mark.parametrize("manners", ["huge", "redirect", "nonsense"])
def test_a_key_server_that_answers_with_something_else_is_one_that_is_down(new_world, id_service, keys, manners):
    service = id_service(keys["RS256"])
    service.manners = manners
    world = new_world(backend=False, WORKER_AUTH_PROVIDER="jwks", WORKER_AUTH_CONFIG=service.config())
    claim = lambda: Api(world.broker, keys["RS256"].worker_token()).call("POST", "/tasks/claim", {"commands": ["A"]})  # noqa: E731
    assert claim().error == KEYFUNC + "failed to fetch JWKS"
    assert world.producer.create("A")
    service.manners = "ok"
    deadline = time.monotonic() + 20
    while claim().status != 200:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("manners", ["hang", "trickle"])
def test_a_slow_key_server_holds_up_nobody_but_those_who_need_it(new_world, id_service, keys, manners):
    service = id_service(keys["RS256"])
    service.manners = manners
    world = new_world(backend=False, WORKER_AUTH_PROVIDER="jwks", HTTP_IO_THREADS="1",
                      WORKER_AUTH_CONFIG=service.config(httpTimeout=60_000_000_000))
    service.wait_for_fetches(1)
    token = keys["RS256"].worker_token()
    body = json.dumps({"commands": ["A"]}).encode()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(Api(world.broker, token).call, "POST", "/tasks/claim", {"commands": ["NONE"]})
                   for _ in range(20)]
        gone = Raw(world.broker.port)
        gone.send(request_bytes("POST", "/v1/codeq/tasks/claim", token, body))
        gone.reset()
        for _ in range(50):
            world.producer.create("A")
        assert not any(one.done() for one in waiting)
        service.let_go()
        # Whoever waited is answered by what came of the fetch: an answer, or a broken one.
        assert {one.result(20).status for one in waiting} <= {204, 401}
    deadline = time.monotonic() + 20
    claimed = 0
    while claimed < 50:
        answer = Api(world.broker, token).call("POST", "/tasks/claim", {"commands": ["A"]})
        claimed += answer.status == 200
        assert time.monotonic() < deadline, f"{claimed} of 50: a claim whose caller had gone took one, or the key never came"


def test_multi_takes_static_tokens_and_jwts_side_by_side(new_world, id_service, keys):
    service = id_service(keys["RS256"])
    config = {"providers": [{"type": "jwks", "config": json.loads(service.config())},
                            {"type": "static", "config": {"token": "legacy", "subject": "bob", "raw": {"tid": "acme"}}}]}
    world = new_world(backend=False, PRODUCER_AUTH_PROVIDER="multi", PRODUCER_AUTH_CONFIG=json.dumps(config))
    assert create(world, keys["RS256"].token()).status == 202
    assert create(world, "legacy").status == 202
    assert refusal(world, "other") == ("multi auth: token rejected by every provider: token is malformed: token contains "
                                       "an invalid number of segments\ninvalid token")


def test_a_producers_jwt_works_as_a_workers_where_that_is_allowed(new_world, id_service, keys):
    service = id_service(keys["RS256"])
    world = new_world(backend=False, PRODUCER_AUTH_PROVIDER="jwks", PRODUCER_AUTH_CONFIG=service.config(),
                      ALLOW_PRODUCER_AS_WORKER="true")
    both = Api(world.broker, keys["RS256"].token())
    task = both.create("A")
    assert both.claim("A")["id"] == task["id"]
    both.complete(task["id"])


def test_q25_providers_are_made_of_the_identity_keys_and_never_of_a_default(new_world, id_service, keys):
    service = id_service(keys["RS256"])
    unset = {"PRODUCER_AUTH_PROVIDER": "", "PRODUCER_AUTH_CONFIG": "", "WORKER_AUTH_PROVIDER": "", "WORKER_AUTH_CONFIG": ""}
    nothing = new_world(backend=False, start=False, **unset)
    with pytest.raises(AssertionError, match="nobody can authenticate"):
        nothing.broker.start()
    half = new_world(backend=False, start=False, **unset, IDENTITY_SERVICE_URL="http://127.0.0.1:1")
    with pytest.raises(AssertionError, match="identityAudience is required"):
        half.broker.start()
    world = new_world(backend=False, **unset, ENV="prod", WEBHOOK_HMAC_SECRET="s", IDENTITY_JWKS_URL=service.url,
                      IDENTITY_ISSUER=ISSUER, IDENTITY_AUDIENCE=AUDIENCE, WORKER_JWKS_URL=service.url,
                      WORKER_ISSUER=ISSUER)
    now = int(time.time())
    producer = Api(world.broker, keys["RS256"].token(exp=now - 30))  # within the 60 s of allowedClockSkewSeconds
    task = producer.create("A")
    worker = Api(world.broker, keys["RS256"].worker_token(aud="codeq-worker"))
    assert worker.claim("A")["id"] == task["id"]


def test_no_token_reaches_the_log_or_the_metrics(jwks_world, keys):
    world = jwks_world(keys["RS256"])
    good, bad = keys["RS256"].token(), Key("RS256", "rs256").token()
    assert create(world, good).status == 202
    assert create(world, bad).status == 401
    for text in (world.broker.log(), world.broker.get("/metrics").body.decode()):
        for token in (good, bad):
            assert token.split(".")[2] not in text
