"""A poll that waits is no news to this run: every one of them is asked not to."""

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    if isinstance(body, dict) and isinstance(body.get("waitSeconds"), int):
        body["waitSeconds"] = min(body["waitSeconds"], 0)
    if isinstance(case.query, dict) and "waitSeconds" in case.query:
        case.query["waitSeconds"] = "0"
