# Deploys the stack of template.yaml. The template stays the one description of the function, its
# state machine and its roles, so what Terraform deploys has the permissions that the tests prove.

terraform {
  required_version = ">= 1.5"

  required_providers {
    archive = {
      source  = "hashicorp/archive"
      version = ">= 2.4"
    }
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

locals {
  root    = "${path.module}/.."
  machine = file("${local.root}/statemachine/distribute.asl.json")
  # A changed file gets another name, so CloudFormation sees the change.
  code_key    = "${var.prefix}/${data.archive_file.code.output_sha256}.zip"
  machine_key = "${var.prefix}/${sha256(local.machine)}.asl.json"

  # The two files of this machine that the template names, as objects of the bucket.
  with_code = replace(
    file("${local.root}/template.yaml"),
    "CodeUri: .aws-sam/lambda/bootstrap/",
    "CodeUri: s3://${var.artifacts_bucket}/${local.code_key}",
  )
  template = replace(
    local.with_code,
    "DefinitionUri: statemachine/distribute.asl.json",
    "DefinitionUri: s3://${var.artifacts_bucket}/${local.machine_key}",
  )
}

data "archive_file" "code" {
  type        = "zip"
  source_file = coalesce(var.bootstrap, "${local.root}/.aws-sam/lambda/bootstrap/bootstrap")
  output_path = "${path.root}/.terraform/amiferry.zip"
  # Lambda starts this file, so it must be executable whoever packs it.
  output_file_mode = "0755"
}

resource "aws_s3_object" "code" {
  bucket = var.artifacts_bucket
  key    = local.code_key
  source = data.archive_file.code.output_path
}

resource "aws_s3_object" "machine" {
  bucket  = var.artifacts_bucket
  key     = local.machine_key
  content = local.machine
}

# The template is longer than CloudFormation takes in a request.
resource "aws_s3_object" "template" {
  bucket  = var.artifacts_bucket
  key     = "${var.prefix}/${sha256(local.template)}.yaml"
  content = local.template
}

data "aws_s3_bucket" "artifacts" {
  bucket = var.artifacts_bucket
}

resource "aws_cloudformation_stack" "amiferry" {
  name         = var.stack_name
  template_url = "https://${data.aws_s3_bucket.artifacts.bucket_regional_domain_name}/${aws_s3_object.template.key}"
  capabilities = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
  parameters   = var.parameters
  tags         = var.tags

  depends_on = [aws_s3_object.code, aws_s3_object.machine]
}
