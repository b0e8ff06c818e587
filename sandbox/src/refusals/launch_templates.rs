//! EC2: launch templates.

super::table! {
    TEMPLATE_MALFORMED = 400, "InvalidLaunchTemplateId.Malformed",
        "Invalid id: \"{}\" (expecting \"lt-...\")",
        "EC2 errors (wording unproved)";
    TEMPLATE_NOT_FOUND = 400, "InvalidLaunchTemplateId.NotFound",
        "The specified launch template, with template ID {}, does not exist.",
        "live answer, aws/karpenter-provider-aws#5665";
    TEMPLATE_NAME_NOT_FOUND = 400, "InvalidLaunchTemplateName.NotFoundException",
        "The specified launch template, with template name {}, does not exist.",
        "live answer, getmoto/moto#5477";
    TEMPLATE_VERSION_NOT_FOUND = 400, "InvalidLaunchTemplateId.VersionNotFound",
        "Could not find the specified version {} for the launch template with ID {}.",
        "live answer, eksctl-io/eksctl#7786";
    TEMPLATE_NAME_TAKEN = 400, "InvalidLaunchTemplateName.AlreadyExistsException",
        "Launch template name already in use.",
        "live answer, github-aws-runners/terraform-aws-github-runner#1382";
    TEMPLATE_NAME_MALFORMED = 400, "InvalidLaunchTemplateName.Malformed",
        "A launch template name must be between 3 and 128 characters, and may contain letters, \
         numbers, and the following characters: - ( ) . / _.",
        "live answer, github-aws-runners/terraform-aws-github-runner#932";
    TEMPLATE_ID_AND_NAME = 400, "InvalidParameterCombination",
        "Specify either the launch template ID or the launch template name, but not both",
        "model (code and wording unproved)";
}
