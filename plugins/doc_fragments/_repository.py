# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    # For modules that work on one repository (the specification REPOSITORY).
    DOCUMENTATION = r"""
options:
  repository:
    description:
      - The place that holds the backups.
    type: dict
    required: true
    suboptions:
      name:
        description:
          - What messages and results call this repository.
          - By default its O(repository.path), or C(s3://bucket/prefix).
        type: str
      path:
        description:
          - Directory that is the repository, on the host that the task runs on, such as a local disk or an NFS mount.
          - Exactly one of O(repository.path) and O(repository.bucket) is needed.
        type: path
      bucket:
        description:
          - Bucket that holds the repository.
          - The options of the connection to its server stand beside it.
        type: str
      prefix:
        description:
          - Under which prefix the repository lies in O(repository.bucket).
        type: str
        default: ""
      endpoint_url:
        description:
          - URL of the S3 server, such as V(https://minio.example.com:9000).
          - By default it is AWS, in O(repository.region).
          - The environment variables E(LIFEBOAT_S3_ENDPOINT) and E(AWS_ENDPOINT_URL) are used if the option is not set.
        type: str
      access_key:
        description:
          - Access key.
          - If none is given, credentials are looked for as boto3 does (profiles, roles), which needs boto3.
          - The environment variable E(AWS_ACCESS_KEY_ID) is used if the option is not set.
        type: str
      secret_key:
        description:
          - Secret key that belongs to O(repository.access_key).
          - The environment variable E(AWS_SECRET_ACCESS_KEY) is used if the option is not set.
        type: str
      session_token:
        description:
          - Token of temporary credentials.
          - The environment variable E(AWS_SESSION_TOKEN) is used if the option is not set.
        type: str
      region:
        description:
          - Region for which requests are signed.
          - The environment variables E(AWS_REGION) and E(AWS_DEFAULT_REGION) are used if the option is not set.
        type: str
        default: us-east-1
      addressing_style:
        description:
          - Where the bucket goes in a request.
          - V(path) puts it into the path, as MinIO and most servers of your own want it.
          - V(virtual) puts it before the host name, as AWS wants it.
          - V(auto) uses V(virtual) for AWS, and V(path) for everything else.
        type: str
        choices: [auto, path, virtual]
        default: auto
      ca_cert:
        description:
          - Path of a PEM file with the certificates of the authorities to trust.
          - The trust store of the system is used if the option is not set.
          - The environment variable E(AWS_CA_BUNDLE) is used if the option is not set.
        type: path
      validate_certs:
        description:
          - Whether the certificate of the server must be valid.
          - Set it to V(false) only for servers of a laboratory.
        type: bool
        default: true
      allow_plaintext:
        description:
          - Whether O(repository.endpoint_url) may begin with C(http) although the server is on another host.
          - Plain HTTP to the loopback addresses of this host is always allowed.
        type: bool
        default: false
"""

    # For modules that work on several (the specification REPOSITORIES).
    SEVERAL = r"""
options:
  repositories:
    description:
      - The places that hold the backups, the most important one first.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - What messages and results call this repository.
          - By default its O(repositories[].path), or C(s3://bucket/prefix).
        type: str
      path:
        description:
          - Directory that is the repository, on the host that the task runs on, such as a local disk or an NFS mount.
          - Exactly one of O(repositories[].path) and O(repositories[].bucket) is needed.
        type: path
      bucket:
        description:
          - Bucket that holds the repository.
          - The options of the connection to its server stand beside it.
        type: str
      prefix:
        description:
          - Under which prefix the repository lies in O(repositories[].bucket).
        type: str
        default: ""
      endpoint_url:
        description:
          - URL of the S3 server, such as V(https://minio.example.com:9000).
          - By default it is AWS, in O(repositories[].region).
          - The environment variables E(LIFEBOAT_S3_ENDPOINT) and E(AWS_ENDPOINT_URL) are used if the option is not set.
        type: str
      access_key:
        description:
          - Access key.
          - If none is given, credentials are looked for as boto3 does (profiles, roles), which needs boto3.
          - The environment variable E(AWS_ACCESS_KEY_ID) is used if the option is not set.
        type: str
      secret_key:
        description:
          - Secret key that belongs to O(repositories[].access_key).
          - The environment variable E(AWS_SECRET_ACCESS_KEY) is used if the option is not set.
        type: str
      session_token:
        description:
          - Token of temporary credentials.
          - The environment variable E(AWS_SESSION_TOKEN) is used if the option is not set.
        type: str
      region:
        description:
          - Region for which requests are signed.
          - The environment variables E(AWS_REGION) and E(AWS_DEFAULT_REGION) are used if the option is not set.
        type: str
        default: us-east-1
      addressing_style:
        description:
          - Where the bucket goes in a request.
          - V(path) puts it into the path, as MinIO and most servers of your own want it.
          - V(virtual) puts it before the host name, as AWS wants it.
          - V(auto) uses V(virtual) for AWS, and V(path) for everything else.
        type: str
        choices: [auto, path, virtual]
        default: auto
      ca_cert:
        description:
          - Path of a PEM file with the certificates of the authorities to trust.
          - The trust store of the system is used if the option is not set.
          - The environment variable E(AWS_CA_BUNDLE) is used if the option is not set.
        type: path
      validate_certs:
        description:
          - Whether the certificate of the server must be valid.
          - Set it to V(false) only for servers of a laboratory.
        type: bool
        default: true
      allow_plaintext:
        description:
          - Whether O(repositories[].endpoint_url) may begin with C(http) although the server is on another host.
          - Plain HTTP to the loopback addresses of this host is always allowed.
        type: bool
        default: false
"""

    # For modules that can do without (the specification OPTIONAL_REPOSITORIES).
    OPTIONAL: str = SEVERAL.replace("    required: true\n", "")
