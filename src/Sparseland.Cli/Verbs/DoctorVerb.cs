using System.CommandLine;
using Sparseland.Cli.Hosting;

namespace Sparseland.Cli.Verbs;

/// <summary>Says what this machine gains from sparsity.</summary>
internal sealed class DoctorVerb : Verb
{
    protected override (string Name, string Description) Title => ("doctor", "Say what this machine can do and what gains on it.");

    protected override void Declare(Command command)
    {
    }

    protected override Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        context.Say(MachineInfo.Current.Describe());
        return Task.FromResult(ExitCodes.Done);
    }
}
