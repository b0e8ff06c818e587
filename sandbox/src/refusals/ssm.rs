//! Systems Manager: Parameter Store.

super::table! {
    SSM_VALIDATION = 400, "ValidationException",
        "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: {}",
        "model";
    SSM_NAME = 400, "ValidationException",
        "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). If formed \
         as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be \
         formed as a mix of letters, numbers and the following 3 symbols .-_",
        "model: Name of PutParameter; public reports";
    SSM_NAME_NOT_QUALIFIED = 400, "ValidationException",
        "Parameter name must be a fully qualified name.",
        "model: Name of PutParameter; public reports";
    SSM_LEVELS = 400, "HierarchyLevelLimitExceededException",
        "A parameter hierarchy can have at most 15 levels.",
        "model; wording unproved";
    SSM_TYPE_MISSING = 400, "ValidationException",
        "A parameter type is required when you create a parameter.",
        "model: Type of PutParameter; public reports";
    SSM_TAGS_AND_OVERWRITE = 400, "ValidationException",
        "Invalid request: tags and overwrite can't be used together. To create a parameter with \
         tags, please remove overwrite flag. To update tags for an existing parameter, please use \
         AddTagsToResource or RemoveTagsFromResource.",
        "live answer, getmoto/moto#4283";
    SSM_DATA_TYPE_CHANGE = 400, "ValidationException",
        "The data type of an existing parameter cannot change from {} to {}.",
        "Systems Manager guide, parameter data types (code and wording unproved)";
    SSM_PARAMETER_ALREADY_EXISTS = 400, "ParameterAlreadyExists",
        "The parameter already exists. To overwrite this value, set the overwrite option in the \
         request to true.",
        "live answer, garystafford/emr-demo#1";
    SSM_PARAMETER_NOT_FOUND = 400, "ParameterNotFound",
        "Parameter {} not found.",
        "model (wording unproved)";
    SSM_INVALID_NEXT_TOKEN = 400, "InvalidNextToken",
        "The specified token isn't valid.",
        "model";
    SSM_ACCESS_DENIED = 400, "AccessDeniedException",
        "User: {} is not authorized to perform: {} on resource: {} {}",
        "IAM guide";
}
