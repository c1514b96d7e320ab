using System.CommandLine;
using Sparseland.Bench.Figures;
using Sparseland.Cli.Hosting;

var root = new RootCommand("Prints the figures of Sparseland: each command measures one, beside its peers, in one run.");
foreach (Verb verb in (Verb[])[new TrainStepFigure(), new AttentionFigure(), new InferenceFigure(), new NetworksFigure(), new RooflineFigure(), new GemmFigure(), new SpmmFigure(), new GemvFigure(), new ConvolutionFigure()]) root.Subcommands.Add(verb.ToCommand());
return await root.Parse(args.Length == 0 ? ["--help"] : args).InvokeAsync();
