# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    # For modules that remove backups from several repositories (the specification KEPT_REPOSITORIES).
    DOCUMENTATION = r"""
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
          - Exactly one of O(repositories[].path), O(repositories[].bucket) and O(repositories[].rclone) is needed.
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
      rclone:
        description:
          - Remote of an installed C(rclone) that is the repository, such as V(drive:lifeboat), for copies of encrypted
            backups. No run writes there first, and only this host may write there.
        type: str
      rclone_config:
        description:
          - Configuration file of C(rclone), which has the secrets of the remote. By default that of the user.
        type: path
      rclone_program:
        description:
          - Name or path of the program.
        type: str
        default: rclone
      media:
        description:
          - What the repository is kept on, such as V(disk), V(s3) or V(tape), for objectives that count media.
          - By default V(disk) for a directory and V(s3) for a bucket. Repositories with the same word share a medium.
        type: str
      offsite:
        description:
          - Whether the repository is off site, for objectives that count such copies.
        type: bool
        default: false
      archive:
        description:
          - How files are brought back that a rule of O(repositories[].bucket) has moved to an archive, such as
            S3 Glacier. Restores, and copies from there, ask for them and wait.
          - Without it they cannot be read.
        type: dict
        suboptions:
          tier:
            description:
              - V(Standard) takes hours, V(Bulk) is cheaper and slower, V(Expedited) is not possible for Deep Archive.
            type: str
            choices: [Standard, Bulk, Expedited]
            default: Standard
          days:
            description:
              - For how many days they can be read then, V(1) to V(365).
            type: int
            default: 7
          wait:
            description:
              - How long to wait for them, such as V(48h). A task that ends before goes on when it runs again.
            type: str
            default: 48h
      lock:
        description:
          - How M(lifeboat.recovery.backup_lock) locks what is kept in O(repositories[].bucket), which has object lock.
            All other modules leave it alone.
        type: dict
        suboptions:
          mode:
            description:
              - V(COMPLIANCE) locks for everybody, root of the server included. V(GOVERNANCE) may be lifted by who has
                the right for it, and MinIO lets who may write replace what such a version holds.
            type: str
            choices: [GOVERNANCE, COMPLIANCE]
            default: COMPLIANCE
          rolling:
            description:
              - How far ahead is locked what stays for nobody knows how long, such as V(14d).
            type: str
            default: 14d
          most:
            description:
              - How far ahead is locked at most, such as V(400d). By default as long as the backup is to stay.
            type: str
          access_key:
            description:
              - Access key that may lock. By default that of the repository.
            type: str
          secret_key:
            description:
              - Secret key that belongs to O(repositories[].lock.access_key).
            type: str
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
      keyring:
        description:
          - What opens the keyring of the repository, where its backups are encrypted.
          - A repository with a keyring is not written to without it, and backups in it cannot be read.
          - M(lifeboat.recovery.backup_keyring) makes keyrings.
          - Exactly one of O(repositories[].keyring.secret_file), O(repositories[].keyring.secret)
            and O(repositories[].keyring.recovery_code_file) is needed.
        type: dict
        suboptions:
          secret_file:
            description:
              - File with the secret of the organisation, on the host that the task runs on. Only its owner may read it.
            type: path
          secret:
            description:
              - The secret itself, such as from a vault.
            type: str
          recovery_code_file:
            description:
              - File with the code of the recovery key, for who has lost the secret. Only its owner may read it.
            type: path
          recovery_key_file:
            description:
              - File with the encrypted recovery key. By default it is taken from the repository.
            type: path
          allow_unsigned:
            description:
              - Whether backups that nobody signed, such as those from before the keyring, may be restored by their ids.
            type: bool
            default: false
      keep:
        description:
          - Which backups of the job stay in this repository. A backup stays if any of the rules keeps it.
          - Without it every backup stays, and only what no backup needs is deleted.
        type: dict
        suboptions:
          last:
            description:
              - So many of the newest backups stay.
            type: int
          max_backups:
            description:
              - The same as O(repositories[].keep.last).
            type: int
          within:
            description:
              - Backups stay that were made within this time before the newest proved one, such as V(36h), V(14d)
                or V(8w).
            type: str
          retention_days:
            description:
              - The same as O(repositories[].keep.within), as a number of days.
            type: int
          hourly:
            description:
              - For so many hours that have backups, the newest one of each stays.
            type: int
          daily:
            description:
              - For so many days that have backups, the newest one of each stays.
            type: int
          weekly:
            description:
              - For so many weeks that have backups, the newest one of each stays. Weeks begin on Monday.
            type: int
          monthly:
            description:
              - For so many months that have backups, the newest one of each stays.
            type: int
          yearly:
            description:
              - For so many years that have backups, the newest one of each stays.
            type: int
          verified_min:
            description:
              - So many of the newest proved backups stay whatever the other rules say, at least one. V(2) if not set.
            type: int
"""
