"""MLflow's tracking server of a production: `.venv/bin/python docker/mlflow_server.py`.

Runs and models are in the database `<MYSQL_DATABASE>_mlflow`; model files are where MLFLOW_ARTIFACTS_DESTINATION says
(a folder; an object store such as s3://bucket/mlflow needs its client library) and travel through the server. Whoever
uses it sets MLFLOW_TRACKING_URI to its address.

The server is told everything by environment variables, so the password is in no command line. What you export yourself
stands: MLFLOW_HOST, MLFLOW_PORT, MLFLOW_SERVER_ALLOWED_HOSTS (names that requests may call it by, such as
`mlflow.example.org`) and whatever else `mlflow server --help` lists. It asks nobody who they are: let it listen to
others only behind a proxy that does.
"""

import os
import sys

from bentleybot_assets.deployment import mysql_account
from bentleybot_assets.resources.mlflow import MySqlMlflow
from bentleybot_assets.settings import Settings

settings = Settings.load()
if settings.profile != "production":
    sys.exit("MLflow's server is for BENTLEYBOT_PROFILE=production; the embedded profile keeps its runs in a file.")
runs = MySqlMlflow(tracking_uri="", artifact_root="", account=mysql_account(settings))
if problem := runs.check():
    sys.exit(problem)
os.environ["MLFLOW_BACKEND_STORE_URI"] = runs.address
# It would run code that is sent to it, in processes beside the server.
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_ARTIFACTS_DESTINATION", str(settings.home / "mlflow-artifacts"))
os.environ.setdefault("MLFLOW_SERVER_ALLOWED_HOSTS", "localhost,localhost:*,127.0.0.1,127.0.0.1:*")
os.environ.setdefault("MLFLOW_WORKERS", "1")  # enough for one desk, at 300 MB each
os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server"])
