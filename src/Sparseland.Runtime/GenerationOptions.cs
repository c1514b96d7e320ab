namespace Sparseland.Runtime;

/// <summary>How the next token is drawn, and when to stop.</summary>
public sealed record GenerationOptions
{
    /// <summary>Greedy, 256 tokens.</summary>
    public static GenerationOptions Default { get; } = new();

    /// <summary>Most tokens to generate, at least 0.</summary>
    public int MaxTokens { get; init; } = 256;

    /// <summary>Divides the logits before the softmax; 0 takes the likeliest token always (greedy).</summary>
    public double Temperature { get; init; }

    /// <summary>Draws among the likeliest this many tokens; 0 for all.</summary>
    public int TopK { get; init; }

    /// <summary>Draws among the likeliest tokens that together hold this probability, in (0, 1]. Holtzman et al., "The Curious Case of Neural Text Degeneration", section 3.1.</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Seed of the draws: same seed, same text.</summary>
    public int Seed { get; init; }

    /// <summary>Tokens that end the text; they are not part of it.</summary>
    public IReadOnlySet<int> StopTokens { get; init; } = new HashSet<int>();

    /// <summary>Throws unless every value is in range.</summary>
    /// <exception cref="Model.SparselandException">SL4060: a value is out of range.</exception>
    public void Validate()
    {
        if (MaxTokens < 0) throw Wrong("max tokens", MaxTokens, "0 or more");
        if (!(Temperature >= 0) || double.IsInfinity(Temperature)) throw Wrong("temperature", Temperature, "0 or more");
        if (TopK < 0) throw Wrong("top-k", TopK, "0 (all) or more");
        if (!(TopP > 0 && TopP <= 1)) throw Wrong("top-p", TopP, "above 0 and at most 1");
    }

    private static Model.SparselandException Wrong(string what, double value, string expected) =>
        new("SL4060", FormattableString.Invariant($"{what} is {value}; expected {expected}"));
}
