using Sparseland.Model;

namespace Sparseland.Pruning;

/// <summary>A method, recipe or filter asks for something that cannot be done (SL4xxx).</summary>
/// <param name="code">Stable code: SL4001 and up.</param>
/// <param name="message">One sentence: what was wrong and what was expected.</param>
/// <param name="inner">The cause, if another exception was.</param>
public sealed class PruningException(string code, string message, Exception? inner = null) : SparselandException(code, message, inner);
