namespace Sparseland.Training;

/// <summary>What a parameter is for; decides about weight decay and about what may be pruned.</summary>
public enum ParameterKind
{
    /// <summary>A matrix or a convolution kernel.</summary>
    Weight,

    /// <summary>Something that is added.</summary>
    Bias,

    /// <summary>Scale or shift of a normalisation.</summary>
    Norm,

    /// <summary>A table that is looked up by index or added by position.</summary>
    Embedding,

    /// <summary>A learned scale or anything else.</summary>
    Other,
}
