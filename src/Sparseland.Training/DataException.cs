using Sparseland.Model;

namespace Sparseland.Training;

/// <summary>Data cannot be read, or does not fit the model (SL3xxx).</summary>
/// <param name="code">Stable code, SL3001 and up.</param>
/// <param name="message">One sentence: what was wrong and what was expected.</param>
/// <param name="inner">The cause, if another exception was.</param>
public sealed class DataException(string code, string message, Exception? inner = null) : SparselandException(code, message, inner)
{
    /// <summary>SL3001: a file of data is damaged or not of the format it claims to be.</summary>
    internal static DataException Damaged(string where, string message, Exception? inner = null) => new("SL3001", message, inner) { Where = where };

    /// <summary>SL3002: a file of data exceeds a limit.</summary>
    internal static DataException TooLarge(string where, string message) => new("SL3002", message) { Where = where };

    /// <summary>SL3003: no data was found under that name or path.</summary>
    internal static DataException NotFound(string where, string message, string? hint = null) => new("SL3003", message) { Where = where, Try = hint };
}
