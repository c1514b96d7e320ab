namespace Sparseland.Model;

/// <summary>An error that a user can act on: what was wrong, where, what was expected, what to do.</summary>
/// <remarks>
/// <see cref="Code"/> is stable and documented (SL1xxx files, SL2xxx graphs and structure, SL3xxx training and data,
/// SL4xxx recipes and arguments, SL5xxx limits). The command line prints these fields and never a stack trace.
/// </remarks>
public class SparselandException : Exception
{
    /// <summary>Creates the error.</summary>
    /// <param name="code">Stable code such as SL1001.</param>
    /// <param name="message">One sentence: what was wrong and what was expected.</param>
    /// <param name="inner">The cause, if another exception was.</param>
    public SparselandException(string code, string message, Exception? inner = null) : base(message, inner) => Code = code;

    /// <summary>Stable code such as SL1001.</summary>
    public string Code { get; }

    /// <summary>The file, node or argument that the error is about.</summary>
    public string? Where { get; init; }

    /// <summary>Why it cannot be done.</summary>
    public string? Because { get; init; }

    /// <summary>What the user can do next.</summary>
    public string? Try { get; init; }

    /// <summary>The whole error as the command line shows it, several lines.</summary>
    public string Describe()
    {
        var text = new System.Text.StringBuilder();
        text.Append("error ").Append(Code).Append(": ").Append(Message);
        if (Where is not null) text.AppendLine().Append("  where     ").Append(Where);
        if (Because is not null) text.AppendLine().Append("  because   ").Append(Because);
        if (Try is not null) text.AppendLine().Append("  try       ").Append(Try);
        return text.ToString();
    }
}

/// <summary>A file is damaged, hostile or not of the format it claims to be (SL1xxx).</summary>
public sealed class ModelFormatException(string code, string message, Exception? inner = null)
    : SparselandException(code, message, inner);

/// <summary>A graph breaks a rule: unknown value, wrong shape, wrong type, a cycle (SL20xx).</summary>
public sealed class GraphException(string code, string message, Exception? inner = null)
    : SparselandException(code, message, inner);

/// <summary>A node uses an operator that is not known here (SL2001).</summary>
public sealed class UnsupportedOperatorException(string nodeName, string domain, string opType)
    : SparselandException("SL2001", $"operator '{(domain.Length == 0 ? opType : domain + "." + opType)}' of node '{nodeName}' is not supported")
{
    /// <summary>The node's name.</summary>
    public string NodeName { get; } = nodeName;

    /// <summary>The operator's domain, empty for the ONNX standard.</summary>
    public string Domain { get; } = domain;

    /// <summary>The operator's name.</summary>
    public string OpType { get; } = opType;
}
