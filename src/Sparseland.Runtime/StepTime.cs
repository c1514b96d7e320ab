namespace Sparseland.Runtime;

/// <summary>How long one step of a plan took.</summary>
/// <param name="Operator">The node's operator.</param>
/// <param name="Name">The node's name.</param>
/// <param name="Kernel">The kernel, as the plan prints it.</param>
/// <param name="MultiplyAdds">Of the dense computation; 0 when they do not count.</param>
/// <param name="Milliseconds">One time for each run.</param>
public sealed record StepTime(string Operator, string Name, string Kernel, long MultiplyAdds, IReadOnlyList<double> Milliseconds);
