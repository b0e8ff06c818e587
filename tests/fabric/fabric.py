"""The deployed stack and everything around it, as the tests see it."""

import contextlib
import functools
import hashlib
import json
import pathlib
import time
import urllib.request

import boto3
import psutil
from botocore.config import Config
from botocore.exceptions import ClientError

from . import processes, template, world

STACK = "amiferry"
REQUEST_PARAMETER = "/amiferry/request"
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
KEY_USERS = [f"arn:aws:iam::{world.SOURCE}:{name}" for name in ("role/builder", "user/auditor")]
LONGEST_TEMPLATE = 51_200
TERMINAL = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")

_session = boto3.session.Session()


@functools.cache
def client(url, service, account=world.SOURCE, region=world.HOME):
    """A client with all rights in `account`: ministack takes a twelve-digit access key for the
    account itself."""
    return _session.client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key="test",
        config=Config(
            retries={"total_max_attempts": 1}, read_timeout=120, s3={"addressing_style": "path"}
        ),
    )


def until(read, seconds=300, every=0.1):
    """Returns the value of `read` once it is true. The limit ends what hangs, and judges no speed:
    machines are slow at times."""
    deadline = time.monotonic() + seconds
    while not (found := read()):
        assert time.monotonic() < deadline, f"nothing after {seconds} s"
        time.sleep(every)
    return found


def patiently(read):
    """ministack may trip over its own threads while it lists executions ("dictionary changed size
    during iteration")."""

    @functools.wraps(read)
    def again(*arguments):
        for _ in range(4):
            try:
                return read(*arguments)
            except ClientError as error:
                if "changed size" not in str(error):
                    raise
                time.sleep(0.1)
        return read(*arguments)

    return again


class Fabric:
    def __init__(self, folder, url, sandbox_url, bootstrap):
        self.folder = folder
        self.url = url
        self.sandbox_url = sandbox_url
        self.cloudformation = client(url, "cloudformation")
        self.functions = client(url, "lambda")
        self.machines = client(url, "stepfunctions")
        self.parameters = client(url, "ssm")
        self.queues = client(url, "sqs")
        self.topics = client(url, "sns")
        self.events = client(url, "events")
        self.logs = client(url, "logs")
        self.s3 = client(url, "s3")
        self.iam = client(url, "iam")
        #: Keys whose grants a test lets nobody revoke.
        self.unrevokable = set()
        self._bootstrap = bootstrap

    # -- deploying

    def deploy(self, **parameters):
        """template.yaml as the stack `amiferry`. EventBusPolicy is unknown to ministack and left
        out; cfn-lint reads it."""
        self.s3.create_bucket(
            Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": world.HOME}
        )
        self.s3.put_object(
            Bucket="artifacts", Key="bootstrap.zip", Body=template.zipped(self._bootstrap)
        )
        self.s3.put_object(
            Bucket="artifacts", Key="machine.json", Body=template.MACHINE.read_bytes()
        )
        plain = template.transformed(
            template.read(template.STACK),
            {"Bucket": "artifacts", "Key": "bootstrap.zip"},
            {"Bucket": "artifacts", "Key": "machine.json"},
            world.HOME,
            SETTINGS,
        )
        del plain["Resources"]["EventBusPolicy"]
        variables = plain["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
        for service in ("EC2", "IAM", "KMS", "STS", "ORGANIZATIONS"):
            variables[f"AWS_ENDPOINT_URL_{service}"] = self.sandbox_url
        self.plain, self._parameters = plain, parameters
        self.create(STACK, plain, **parameters)

    def update(self, **parameters):
        """The stack `amiferry` with these parameters beside those it was deployed with."""
        return self.change(STACK, self.plain, **self._parameters | parameters)

    def create(self, name, body, account=world.SOURCE, **parameters):
        cloudformation = client(self.url, "cloudformation", account)
        cloudformation.create_stack(**self._stack(name, body, parameters))
        return self.settled(name, account)

    def change(self, name, body, account=world.SOURCE, **parameters):
        cloudformation = client(self.url, "cloudformation", account)
        cloudformation.update_stack(**self._stack(name, body, parameters))
        return self.settled(name, account)

    def _stack(self, name, body, parameters):
        shown = [
            {"ParameterKey": key, "ParameterValue": str(value)} for key, value in parameters.items()
        ]
        return {
            "StackName": name,
            "Capabilities": CAPABILITIES,
            "Parameters": shown,
        } | self._template(name, body)

    def _template(self, name, body):
        """A template as it is, or as an object of the bucket where it is too long for a request."""
        text = json.dumps(body, separators=(",", ":"))
        if len(text) <= LONGEST_TEMPLATE:
            return {"TemplateBody": text}
        self.s3.put_object(Bucket="artifacts", Key=f"{name}.json", Body=text.encode())
        return {"TemplateURL": f"{self.url}/artifacts/{name}.json"}

    def delete(self, name, account=world.SOURCE):
        client(self.url, "cloudformation", account).delete_stack(StackName=name)
        return self.settled(name, account)

    def settled(self, name, account=world.SOURCE):
        """The stack's status once nothing is in progress; `DELETE_COMPLETE` where it is gone."""
        cloudformation = client(self.url, "cloudformation", account)

        def status():
            try:
                [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
            except cloudformation.exceptions.ClientError:
                return "DELETE_COMPLETE"
            return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack["StackStatus"]

        return until(status)

    def outputs(self, name=STACK, account=world.SOURCE):
        [stack] = client(self.url, "cloudformation", account).describe_stacks(StackName=name)[
            "Stacks"
        ]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def reasons(self, name):
        events = self.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return [
            event["ResourceStatusReason"]
            for event in events
            if "FAILED" in event["ResourceStatus"] and event.get("ResourceStatusReason")
        ]

    def resources(self, name=STACK, account=world.SOURCE):
        found = client(self.url, "cloudformation", account).describe_stack_resources(
            StackName=name
        )["StackResources"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in found}

    def role(self, role_name, account=world.SOURCE, credentials=None):
        """A role as CloudFormation made it."""
        iam = client(self.url, "iam", account)
        inline, managed = self.policies(role_name, account)
        return world.Role(
            name=role_name,
            trust=json.dumps(iam.get_role(RoleName=role_name)["Role"]["AssumeRolePolicyDocument"]),
            policies=tuple(json.dumps(policy) for policy in inline + managed),
            credentials=credentials,
        )

    def policies(self, role_name, account=world.SOURCE):
        """The policies written into a role, and the managed ones attached to it."""
        iam = client(self.url, "iam", account)
        names = iam.list_role_policies(RoleName=role_name)["PolicyNames"]
        inline = [
            iam.get_role_policy(RoleName=role_name, PolicyName=name)["PolicyDocument"]
            for name in names
        ]
        managed = []
        for policy in iam.list_attached_role_policies(RoleName=role_name)["AttachedPolicies"]:
            arn = policy["PolicyArn"]
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            managed.append(
                iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"][
                    "Document"
                ]
            )
        return inline, managed

    def function_role(self):
        """Returns the credentials that ministack gives the function; they follow from the two
        ARNs."""
        arn = f"arn:aws:iam::{world.SOURCE}:role/{STACK}"
        digest = hashlib.sha256(f"{self.function_arn}:{arn}".encode()).hexdigest()
        credentials = {
            "id": f"ASIA{digest[:16].upper()}",
            "secret": hashlib.sha256(f"secret:{digest}".encode()).hexdigest(),
            "source_function": self.function_arn,
            "session_token": hashlib.sha256(f"token:{digest}".encode()).hexdigest(),
        }
        return self.role(STACK, credentials=credentials)

    # -- what was deployed

    @functools.cached_property
    def _outputs(self):
        return self.outputs()

    @property
    def function_arn(self):
        return self._outputs["FunctionArn"]

    @property
    def machine_arn(self):
        return self._outputs["StateMachineArn"]

    @property
    def bucket(self):
        return self._outputs["BucketName"]

    # -- executions

    def start(self, job, machine=None):
        machine = machine or self.machine_arn
        return self.machines.start_execution(stateMachineArn=machine, input=json.dumps(job))[
            "executionArn"
        ]

    def altered(self, name, change):
        """A machine like the stack's, changed by `change(definition)`, with a like role of its
        own."""
        like = self.machines.describe_state_machine(stateMachineArn=self.machine_arn)
        definition = json.loads(like["definition"])
        change(definition)
        role = self.role(like["roleArn"].rpartition("/")[2])
        arn = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=role.trust)["Role"][
            "Arn"
        ]
        for n, policy in enumerate(role.policies):
            policy = policy.replace(
                self.machine_arn, self.machine_arn.replace(f":{STACK}", f":{name}")
            )
            self.iam.put_role_policy(RoleName=name, PolicyName=str(n), PolicyDocument=policy)
        made = self.machines.create_state_machine(
            name=name, definition=json.dumps(definition), roleArn=arn
        )
        return made["stateMachineArn"]

    def execution(self, arn):
        return self.machines.describe_execution(executionArn=arn)

    def ended(self, arn):
        def read():
            execution = self.execution(arn)
            return execution if execution["status"] in TERMINAL else None

        return until(read)

    @patiently
    def executions(self):
        pages = self.machines.get_paginator("list_executions").paginate(
            stateMachineArn=self.machine_arn
        )
        return [execution for page in pages for execution in page["executions"]]

    @patiently
    def children(self, arn):
        runs = self.machines.list_map_runs(executionArn=arn)["mapRuns"]
        found = []
        for run in runs:
            for page in self.machines.get_paginator("list_executions").paginate(
                mapRunArn=run["mapRunArn"]
            ):
                found += page["executions"]
        return found

    def history(self, arn):
        pages = self.machines.get_paginator("get_execution_history").paginate(executionArn=arn)
        return [event for page in pages for event in page["events"]]

    def waiting(self):
        """The parameters of targets that wait."""
        pages = self.parameters.get_paginator("get_parameters_by_path").paginate(
            Path=f"/amiferry/waiting/{STACK}", Recursive=True
        )
        return {
            parameter["Name"]: parameter["Value"]
            for page in pages
            for parameter in page["Parameters"]
        }

    # -- invocations

    def invoke(self, event, asynchronously=False):
        kind = "Event" if asynchronously else "RequestResponse"
        answer = self.functions.invoke(
            FunctionName=STACK, InvocationType=kind, Payload=json.dumps(event)
        )
        body = answer["Payload"].read()
        return json.loads(body) if body else None

    def kill(self):
        """Kills every process of the function at once, as a dying Lambda host does. Returns their
        number."""
        count = 0
        for process in psutil.process_iter(["name", "environ"]):
            environment = process.info["environ"] or {}
            if (
                process.info["name"] == "bootstrap"
                and environment.get("AWS_ENDPOINT_URL") == self.url
            ):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
                    count += 1
        return count

    def example(self, name):
        """An example from events/."""
        return json.loads((template.ROOT / "events" / f"{name}.json").read_text())

    def put_event(self, event):
        """Onto the bus of the account it happened in, as AWS does (patch 1)."""
        bus = client(self.url, "events", event["account"], event["region"])
        entry = {
            "Source": event["source"],
            "DetailType": event["detail-type"],
            "Detail": json.dumps(event["detail"]),
        }
        [answer] = bus.put_events(Entries=[entry | {"Resources": event["resources"]}])["Entries"]
        assert "ErrorCode" not in answer, answer

    def log(self, contains=""):
        """Returns the log of the function."""
        pages = self.logs.get_paginator("filter_log_events").paginate(
            logGroupName=f"/aws/lambda/{STACK}"
        )
        return [
            event["message"]
            for page in pages
            for event in page["events"]
            if contains in event["message"]
        ]

    def output(self):
        """Returns the output of ministack and the function's processes, which is more complete than
        the log groups."""
        return (self.folder / "ministack.log").read_text()

    # -- truth

    def sandbox(self, what):
        with urllib.request.urlopen(f"{self.sandbox_url}/_sandbox/{what}", timeout=30) as response:
            return json.load(response)

    def images(self, account, region=world.HOME):
        return self.sandbox("world")["accounts"][account].get(region, {}).get("images", [])

    def copies(self, name, account, region=None):
        """The images of `account` that were copied from image `name`."""
        there = self.images(account, region or world.TARGETS.get(account, world.HOME))
        return [
            image
            for image in there
            if image["tags"].get("amiferry:source-image") == world.image_id(name)
        ]

    def snapshots(self, name, account, region=None):
        """The snapshots of `account` that were copied from those of image `name`."""
        region = region or world.TARGETS.get(account, world.HOME)
        there = self.sandbox("world")["accounts"][account].get(region, {}).get("snapshots", [])
        return [
            snapshot
            for snapshot in there
            if snapshot["tags"].get("amiferry:source-image") == world.image_id(name)
        ]

    def opened(self, name):
        """Everything that is open of image `name`; empty when the source is closed."""
        accounts = self.sandbox("world")["accounts"]
        here = accounts[world.SOURCE][world.HOME]
        ids = set(world.snapshot_ids(name))
        snapshots = [snapshot for snapshot in here["snapshots"] if snapshot["id"] in ids]
        [image] = [image for image in here["images"] if image["id"] == world.image_id(name)]
        found = {
            "grants": sorted(
                grant["name"] for grant in here["grants"] if grant["key_arn"] == world.key_arn(name)
            ),
            "shared": sorted(
                {user for snapshot in snapshots for user in snapshot["create_volume_permissions"]}
            ),
            "launch": image["launch_permissions"],
            "policy": self.added_statements(name),
            "staged": [snapshot["id"] for snapshot in self.snapshots(name, world.SOURCE)],
        }
        return {what: value for what, value in found.items() if value}

    def key_policy(self, name):
        """Returns the policy of the key of image `name`, to the byte."""
        keys = self.sandbox("world")["accounts"][world.SOURCE][world.HOME]["keys"]
        [policy] = [key["policy"] for key in keys if key["arn"] == world.key_arn(name)]
        return policy

    def added_statements(self, name):
        """Statements of runs in it."""
        statements = json.loads(self.key_policy(name))["Statement"]
        return [
            statement["Sid"]
            for statement in statements
            if statement.get("Sid", "").startswith("Amiferry")
        ]

    def calls(self, kind="call"):
        """ministack's side of the ledger."""
        lines = (self.folder / "ledger.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["kind"] == kind]

    # -- ledgers

    def keep_ledgers(self, folder):
        """Writes every call and the policies that judged it, for scripts/least-privilege."""
        folder.mkdir(parents=True, exist_ok=True)
        # A call that a test had refused says nothing about the policies.
        judged = [
            call
            for call in self.sandbox("ledger")
            if call["operation"] != "RevokeGrant"
            or call["outcome"] == "ok"
            or call["params"]["KeyId"] not in self.unrevokable
        ]
        for name, calls in {
            "fabric-sandbox": judged,
            "fabric-ministack": self.calls(),
        }.items():
            (folder / f"{name}.jsonl").write_text(
                "".join(json.dumps(call) + "\n" for call in calls)
            )
        target = next(iter(world.TARGETS))
        machine, notifier = (
            self.resources()["StateMachineRole"],
            self.resources("amiferry-target", target)["NotificationRole"],
        )
        roles = {
            f"{world.SOURCE}/{STACK}": (self.role(STACK), "template.yaml FunctionRole"),
            f"{world.SOURCE}/{machine}": (self.role(machine), "template.yaml StateMachineRole"),
            "*/AmiCopyRole": (self.role("AmiCopyRole", target), "templates/target-role.yaml Role"),
            f"{target}/{notifier}": (
                self.role(notifier, target),
                "templates/target-role.yaml NotificationRole",
            ),
        }
        policies = {
            principal: {
                "title": title,
                "policies": [json.loads(policy) for policy in role.policies],
            }
            for principal, (role, title) in roles.items()
        }
        (folder / "policies.json").write_text(json.dumps(policies, indent=2))

    # -- messages

    def listen(self):
        """Subscribes a queue to the stack's topic, and another to its events."""
        topic = self.outputs()["TopicArn"]
        queue, arn = self._queue("notices", "sns.amazonaws.com", topic)
        self.topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        self._notices = queue, []
        rule = self.events.put_rule(
            Name="announced", EventPattern=json.dumps({"source": ["amiferry"]})
        )["RuleArn"]
        queue, arn = self._queue("announced", "events.amazonaws.com", rule)
        self.events.put_targets(Rule="announced", Targets=[{"Id": "queue", "Arn": arn}])
        self._announced = queue, []

    def _queue(self, name, service, sender):
        """A queue that `sender` of `service` may send to: its URL and ARN."""
        queue = self.queues.create_queue(QueueName=name)["QueueUrl"]
        arn = f"arn:aws:sqs:{world.HOME}:{world.SOURCE}:{name}"
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": sender}},
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        self.queues.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
        return queue, arn

    def notices(self, text):
        """Returns the published (subject, message) pairs that contain `text`, at least one."""
        queue, found = self._notices

        def read():
            found.extend((body["Subject"], body["Message"]) for body in self._received(queue))
            return [notice for notice in found if text in notice[1]]

        return until(read)

    def announced(self, execution):
        """Returns the events of the execution with this ARN, at least one."""
        queue, found = self._announced

        def read():
            found.extend(self._received(queue))
            return [event for event in found if event["resources"] == [execution]]

        return until(read)

    def _received(self, queue):
        answer = self.queues.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self.queues.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            yield json.loads(message["Body"])

    def empty(self, queue):
        attributes = self.queues.get_queue_attributes(
            QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return attributes["Attributes"]["ApproximateNumberOfMessages"] == "0"


# CloudFormation is on this machine. The organization is no parameter here: with it the template
# bounds AssumeRole by the organization instead of by the list, and it is the list's policies that
# are compared with the documented ones.
SETTINGS = {
    "AMIFERRY_RESPONSE_HOSTS": "127.0.0.1",
    "AMIFERRY_ALLOWED_ORGANIZATION": world.ORGANIZATION,
}


@contextlib.contextmanager
def deployed(folder, bootstrap, sandbox_binary):
    """Deploys and runs everything: first the stacks, then the world with their roles, then the
    sandbox."""
    folder = pathlib.Path(folder)
    ports = processes.free_port(), processes.free_port()
    sandbox_url = f"http://127.0.0.1:{ports[1]}"
    with processes.ministack(folder, ports[0], wait_scale=0.05) as url:
        fabric = Fabric(folder, url, sandbox_url, bootstrap)
        request = {
            "TargetAccountIds": ["222222222222", "333333333333"],
            "TargetKmsKeyIds": ["alias/amis", "alias/amis"],
        }
        fabric.parameters.put_parameter(
            Name=REQUEST_PARAMETER, Type="String", Value=json.dumps(request)
        )
        fabric.deploy(
            Architecture="x86_64",
            LambdaTimeout=60,
            RequestParameter=REQUEST_PARAMETER,
            EnrollSchedule="rate(1 day)",
            EnrollChannels="/golden/web",
            SourceKeyArns=world.SOURCE_KEYS,
            AllowedAccountIds=",".join(world.allowed()),
            AllowShare="true",
            KeyPolicyAccess="true",
            NotifyOfForeignSharing="true",
            NotifyOfForeignKeyUse="true",
            KeyUserAccountIds=",".join(world.TARGETS),
            KeyUserArns=",".join(KEY_USERS),
            Dashboard="true",
            ReencryptKmsKeyArns=world.key_arn("managed"),
        )
        assert fabric.settled(STACK) == "CREATE_COMPLETE", fabric.reasons(STACK)
        targets = target_roles(fabric)
        file = folder / "world.toml"
        file.write_text(world.text(fabric.function_role(), targets))
        fabric.listen()
        with processes.sandbox(sandbox_binary, file, ports[1], folder / "sandbox.log"):
            yield fabric


def target_roles(fabric):
    """templates/target-role.yaml in the first target; the others' roles differ by the account
    only."""
    [first, *others] = world.allowed()
    body = template.read(template.TARGET_ROLE)
    status = fabric.create(
        "amiferry-target",
        body,
        first,
        SourceAccountId=world.SOURCE,
        SourceKeyArns=world.SOURCE_KEYS,
        TargetKeyArns=",".join(
            f"arn:aws:kms:{region}:{first}:key/{world.KEY_ID}"
            for region in (world.HOME, "us-east-1")
        ),
        EventBusArn=fabric.outputs()["EventBusArn"],
        ServiceLinkedRoles="autoscaling.amazonaws.com,spot.amazonaws.com",
        CreateServiceLinkedRoles="true",
    )
    assert status == "CREATE_COMPLETE", status
    role = fabric.role("AmiCopyRole", first)
    return {first: role} | {account: role.of_account(first, account) for account in others}
